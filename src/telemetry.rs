//! Logs: readable text on a terminal, one JSON object a line otherwise, always on standard error.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::{LogConfig, LogFormat};

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `log.level` is not a filter. A checked configuration does not have this.
    #[error("the log level is not valid")]
    Level(#[from] tracing_subscriber::filter::ParseError),
    /// The process already has a logger.
    #[error("logging is already set up")]
    Init(#[from] tracing_subscriber::util::TryInitError),
}

/// How log lines look, with everything decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Json,
    Text { on_terminal: bool },
}

/// Sets up the process's logger. The second call in a process is an error and changes nothing.
///
/// Colour is used for text on a terminal, unless the variable `NO_COLOR` is set.
pub fn init(config: &LogConfig) -> Result<(), Error> {
    let filter = EnvFilter::builder().parse(&config.level)?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match style(config.format, std::io::stderr().is_terminal()) {
        Style::Json => builder.json().flatten_event(true).with_span_list(false).finish().try_init(),
        // Left alone on a terminal, the builder itself honours NO_COLOR.
        Style::Text { on_terminal: true } => builder.finish().try_init(),
        Style::Text { on_terminal: false } => builder.with_ansi(false).finish().try_init(),
    }?;
    Ok(())
}

fn style(format: LogFormat, on_terminal: bool) -> Style {
    match format {
        LogFormat::Json => Style::Json,
        LogFormat::Auto if !on_terminal => Style::Json,
        LogFormat::Auto | LogFormat::Text => Style::Text { on_terminal },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_get_text_and_machines_json() {
        for (format, on_terminal, expected) in [
            (LogFormat::Auto, true, Style::Text { on_terminal: true }),
            (LogFormat::Auto, false, Style::Json),
            (LogFormat::Text, true, Style::Text { on_terminal: true }),
            (LogFormat::Text, false, Style::Text { on_terminal: false }),
            (LogFormat::Json, true, Style::Json),
            (LogFormat::Json, false, Style::Json),
        ] {
            assert_eq!(style(format, on_terminal), expected, "{format:?} {on_terminal}");
        }
    }

    #[test]
    fn a_second_set_up_is_an_error_and_no_panic() {
        let config = LogConfig { level: "off".to_owned(), format: LogFormat::Auto };
        let _ = init(&config);
        assert!(matches!(init(&config), Err(Error::Init(_))));
    }

    #[test]
    fn a_bad_level_is_an_error() {
        let config = LogConfig { level: "daybook=loud".to_owned(), format: LogFormat::Auto };
        assert!(matches!(init(&config), Err(Error::Level(_))));
    }
}
