//! Log lines, on standard error.
//!
//! `RUST_LOG` says which. Without it, text shows warnings and errors only: a person reads the
//! banner, and a line per connection would drown it. JSON shows `info` too: nobody watches it
//! scroll by, and whoever collects it wants to know what happened.

use std::io;

use anstream::{AutoStream, ColorChoice};
use iothub_emulator::config::LogFormat;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// The variable that says which lines are written.
pub(crate) const FILTER_VARIABLE: &str = "RUST_LOG";

/// Starts logging; called once.
///
/// # Errors
///
/// Says what is wrong with `RUST_LOG`.
pub(crate) fn start(format: LogFormat, directives: Option<&str>) -> Result<(), String> {
    let filter = filter(format, directives)?;
    let subscriber = tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_ansi(AutoStream::choice(&io::stderr()) != ColorChoice::Never)
        .with_env_filter(filter);
    match format {
        LogFormat::Text => subscriber.init(),
        LogFormat::Json => subscriber.json().flatten_event(true).init(),
    }
    Ok(())
}

fn filter(format: LogFormat, directives: Option<&str>) -> Result<EnvFilter, String> {
    let level = match format {
        LogFormat::Text => LevelFilter::WARN,
        LogFormat::Json => LevelFilter::INFO,
    };
    let directives = directives.unwrap_or_default();
    EnvFilter::builder()
        .with_default_directive(level.into())
        .parse(directives)
        .map_err(|error| format!("{FILTER_VARIABLE} is {directives:?}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_beats_the_default() {
        let table = [
            (LogFormat::Text, None, Some(LevelFilter::WARN)),
            (LogFormat::Text, Some(""), Some(LevelFilter::WARN)),
            (LogFormat::Json, None, Some(LevelFilter::INFO)),
            (LogFormat::Json, Some("error"), Some(LevelFilter::ERROR)),
            (LogFormat::Text, Some("warn,iothub_mqtt=trace"), Some(LevelFilter::TRACE)),
        ];
        for (format, directives, expected) in table {
            let filter = filter(format, directives).unwrap();
            assert_eq!(filter.max_level_hint(), expected, "{format:?} {directives:?}");
        }
        let error = filter(LogFormat::Text, Some("a=b=c")).unwrap_err();
        assert!(error.starts_with("RUST_LOG is \"a=b=c\": "), "{error}");
    }
}
