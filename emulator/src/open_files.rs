//! How many files the process may have open: each connection is one.
//!
//! Shells start programs with a soft limit, often 1024, which is meant for those that use
//! `select`; a fleet of devices needs more, and a program may raise it as far as the hard one.

/// What is open beside connections, generously.
const OTHERS: u64 = 64;
/// More than this macOS grants nobody, whatever it gives as the hard limit.
const MACOS_MOST: u64 = 10_240;

/// Makes room for so many connections, as far as the system allows it.
pub(crate) fn make_room(connections: usize) {
    let needed = u64::try_from(connections).unwrap_or(u64::MAX).saturating_add(OTHERS);
    raise(if cfg!(target_vendor = "apple") { needed.min(MACOS_MOST) } else { needed });
}

#[cfg(unix)]
fn raise(needed: u64) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // None stands for no limit.
    let wanted = maximum.map_or(needed, |maximum| needed.min(maximum));
    let Some(current) = current.filter(|current| *current < wanted) else { return };
    let raised = Rlimit { current: Some(wanted), maximum };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => tracing::debug!(from = current, to = wanted, "more files may be open"),
        Err(error) => tracing::debug!(%error, current, "no more files may be open than before"),
    }
}

/// Windows has no such limit.
#[cfg(not(unix))]
fn raise(_needed: u64) {}

#[cfg(all(test, unix))]
mod tests {
    use rustix::process::{Resource, getrlimit};

    use super::*;

    #[test]
    fn the_limit_is_raised_as_far_as_it_goes_and_never_lowered() {
        let soft = || getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let before = soft();
        make_room(1);
        assert_eq!(soft(), before);
        let hard = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
        make_room(1 << 14);
        assert!(soft() >= hard.min((1 << 14) + OTHERS).min(MACOS_MOST), "{} of {hard}", soft());
    }
}
