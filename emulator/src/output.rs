//! The one place where the program prints.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write as _};
use std::process::ExitCode;

/// What the program ends with when it was called or configured wrongly; clap's own, too.
const USAGE: u8 = 2;

/// Prints a text; its colours reach terminals alone. A reader that has gone away, such as `head`, is
/// no failure.
///
/// # Errors
///
/// Standard output cannot be written.
pub(crate) fn print(text: &str) -> io::Result<()> {
    let mut stdout = anstream::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// Tells the person at the terminal something that is no result.
pub(crate) fn tell(message: impl Display) {
    // Where standard error is closed, there is nobody to tell.
    let _ = writeln!(io::stderr().lock(), "{message}");
}

/// Says in one line why the program fails.
pub(crate) fn fail(error: impl Display) -> ExitCode {
    tell(format_args!("error: {error}"));
    ExitCode::FAILURE
}

/// Says everything that is wrong with how the program was configured, a line each.
pub(crate) fn misconfigured(mistakes: impl IntoIterator<Item = impl Display>) -> ExitCode {
    for mistake in mistakes {
        tell(format_args!("error: {mistake}"));
    }
    ExitCode::from(USAGE)
}
