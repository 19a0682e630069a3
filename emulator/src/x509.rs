//! `x509 ca`: registers the certificate authorities whose devices may connect.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Subcommand;
use iothub_core::auth::x509::thumbprint;
use iothub_core::random::Random;
use iothub_core::time::Clock as _;
use iothub_emulator::authorities::{AuthorityError, Register, Registration};
use iothub_emulator::clock::SystemClock;
use iothub_emulator::state_dir::StateDir;
use rand::TryRng as _;
use rand::rngs::SysRng;

use crate::commands::CommandError;

/// What is done about X.509 certificates.
#[derive(Debug, Subcommand)]
pub(crate) enum X509Command {
    /// The certificate authorities whose devices the hub lets in
    Ca {
        /// What to do with them.
        #[command(subcommand)]
        action: DeviceCaAction,
    },
}

/// What to do with the authorities of devices.
#[derive(Debug, Subcommand)]
pub(crate) enum DeviceCaAction {
    /// Register an authority by its certificate; its devices wait until it is verified
    Add {
        /// Its certificate, in PEM or DER
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Its name with the hub [default: the name of the file, without its ending]
        #[arg(long)]
        name: Option<String>,
        /// Do without the proof that you have its key
        #[arg(long)]
        verified: bool,
    },
    /// Print the authorities
    List,
    /// Remove an authority: its devices are not let in any more
    Remove {
        /// Its name with the hub
        name: String,
    },
    /// Prove that you have an authority's key, by a certificate that it issued
    Verify {
        /// Its name with the hub
        name: String,
        /// The certificate, in PEM or DER, whose common name is the verification code
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

/// Does it, and gives what is to be printed.
pub(crate) fn x509(dir: &StateDir, command: X509Command) -> Result<String, CommandError> {
    let X509Command::Ca { action } = command;
    let register = Register::of(dir);
    Ok(match action {
        DeviceCaAction::Add { file, name, verified } => {
            let mut seed = [0; 32];
            SysRng
                .try_fill_bytes(&mut seed)
                .map_err(|error| CommandError::Entropy(error.to_string()))?;
            added(&register.add(&file, name, verified, &Random::from_entropy(seed))?)
        }
        DeviceCaAction::List => list(&register.list()?)?,
        DeviceCaAction::Remove { name } => {
            register.remove(&name)?;
            format!("removed {name}\n")
        }
        DeviceCaAction::Verify { name, file } => {
            register.verify(&name, &file, SystemClock.now())?;
            format!("verified {name}: its devices may connect\n")
        }
    })
}

fn added(added: &Registration) -> String {
    let Registration { name, verified, verification_code, .. } = added;
    if *verified {
        return format!("registered {name}: its devices may connect\n");
    }
    format!(
        "registered {name}, which is not verified yet\n\
         verification code: {verification_code}\n\
         Issue a certificate with this common name to prove that you have the key of {name}, then:\n  \
         iothub-emulator x509 ca verify {name} FILE\n"
    )
}

fn list(list: &[Registration]) -> Result<String, AuthorityError> {
    let mut text = String::new();
    for known in list {
        let Registration { name, verified, verification_code, .. } = known;
        let fault =
            |fault| AuthorityError::Certificate { path: PathBuf::from(name.as_str()), fault };
        let authority = known.authority().map_err(fault)?;
        let subject = authority.subject().map_err(fault)?;
        let state = if *verified {
            "verified".to_owned()
        } else {
            format!("not verified, verification code {verification_code}")
        };
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "{name}\n  subject     {subject}\n  thumbprint  {}\n  state       {state}",
            thumbprint(authority.der())
        );
    }
    Ok(text)
}
