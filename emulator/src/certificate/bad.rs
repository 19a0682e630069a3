//! Server certificates that a client should refuse, each for one reason.

use iothub_admin::CertificateKind;
use iothub_core::time::Timestamp;

use super::authority::Authority;
use super::names::SubjectNames;
use super::server::{self, ServerCertificate};
use super::{CertificateError, DAY, beginning, date, key};

/// A name that can be nobody's: RFC 6761.
const NOBODY: &str = "wrong-name.invalid";

/// Issues a certificate of this kind; all but what is wrong with it is as it should be.
pub(super) fn issue(
    authority: &Authority,
    kind: CertificateKind,
    names: &SubjectNames,
    now: Timestamp,
) -> Result<ServerCertificate, CertificateError> {
    let algorithm = authority.certificate.algorithm();
    let tomorrow = now.after(DAY);
    match kind {
        CertificateKind::Good => authority.issue(names, now),
        // What begins a day ago can have ended since.
        CertificateKind::Expired => authority.issue_for(names, beginning(now), an_hour_before(now)),
        CertificateKind::NotYetValid => {
            authority.issue_for(names, date(tomorrow), date(tomorrow.after(DAY)))
        }
        CertificateKind::SelfSigned => {
            let key = key::generate(algorithm)?;
            let params = server::params(names, algorithm, beginning(now), date(tomorrow))?;
            Ok(ServerCertificate::new(&params.self_signed(&key)?, &key))
        }
        CertificateKind::WrongName => authority.issue(&SubjectNames::only(NOBODY), now),
        CertificateKind::WrongAuthority => Authority::make(algorithm, now)?.issue(names, now),
    }
}

fn an_hour_before(now: Timestamp) -> time::OffsetDateTime {
    date(Timestamp::from_unix_seconds(now.unix_seconds().saturating_sub(3600)))
}
