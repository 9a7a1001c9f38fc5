//! Whether a value has the type and bounds that the table asks for.

use super::diagnose::{Level, Message, excerpt};
use super::options::{Kind, OptionSpec};
use super::receiver::Receiver;
use super::settings::{
    Environment, Origin, Setting, canonical, parse_bool, parse_size, split_endpoint, split_words,
};

/// Says what is wrong with a value; moves clamped numbers.
pub(super) fn check(
    option: &OptionSpec,
    setting: &Setting,
    place: &str,
    environment: &Environment,
    messages: &mut Vec<Message>,
) {
    for item in &setting.items {
        let problem = problem(option.kind, item, environment);
        let Some((level, text)) = problem else {
            continue;
        };
        let (place, line) = match setting.origin {
            Origin::File(line) => (place, Some(line)),
            Origin::Environment => ("environment", None),
            Origin::Default => ("built-in default", None),
        };
        // compat: without it the sensor runs all the same, and reports more rather than less.
        let (level, text) = if option.name == "IGNORE_EVENTS_REGEX" {
            (Level::Warning, format!("{text}; not used"))
        } else {
            (level, text)
        };
        messages.push(Message {
            level,
            place: place.to_owned(),
            line,
            option: Some(option.name.to_owned()),
            text,
        });
    }
}

fn problem(kind: Kind, item: &str, environment: &Environment) -> Option<(Level, String)> {
    let wrong = |what: &str| Some((Level::Error, format!("`{}` is not {what}", excerpt(item))));
    match kind {
        Kind::Bool if parse_bool(item).is_none() => wrong("a switch (true or false)"),
        Kind::Port if !item.parse::<u16>().is_ok_and(|port| port > 0) || item.starts_with('+') => {
            wrong("a port (1-65535)")
        }
        Kind::Int { min, max, clamp } => match item.parse::<i64>() {
            Ok(value) if (min..=max).contains(&value) => None,
            Ok(value) if clamp => {
                let used = Ord::clamp(value, min, max);
                Some((
                    Level::Warning,
                    format!("{value} is out of range ({min}..={max}), using {used}"),
                ))
            }
            Ok(value) => Some((
                Level::Error,
                format!("{value} is out of range ({min} to {max})"),
            )),
            Err(_) => wrong(&format!("a whole number ({min} to {max})")),
        },
        Kind::Count { max } => {
            let word = ["auto", "true", "yes", "on"].contains(&item.to_ascii_lowercase().as_str());
            let number = item
                .parse::<i64>()
                .is_ok_and(|value| (0..=max).contains(&value));
            if word || number {
                None
            } else {
                wrong(&format!("a number (up to {max}) or `auto`"))
            }
        }
        Kind::Float { min, max } => {
            let good = item
                .parse::<f64>()
                .is_ok_and(|value| (min..=max).contains(&value));
            if good {
                None
            } else {
                wrong(&format!("a number ({min} to {max})"))
            }
        }
        Kind::Size if parse_size(item, environment.memory_bytes).is_none() => {
            wrong("a size (bytes, or with kB, MB, GB, or a percentage such as 10%)")
        }
        Kind::Choice(words) if canonical(words, item).is_none() => {
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            wrong(&format!("one of: {}", known.join(", ")))
        }
        Kind::Endpoints => split_words(item)
            .find(|word| split_endpoint(word).is_none())
            .map(|word| {
                (
                    Level::Error,
                    format!(
                        "`{}` is not `host:port`, such as 192.0.2.1:8337",
                        excerpt(word)
                    ),
                )
            }),
        Kind::Receivers => split_words(item)
            .find(|word| Receiver::parse(word).is_none())
            .map(|word| {
                (
                    Level::Error,
                    format!(
                        "`{}` is not `host:port`, also with udp5424://, tcp:// or tls:// in front",
                        excerpt(word)
                    ),
                )
            }),
        Kind::Socket if item.parse::<std::net::SocketAddr>().is_err() => {
            wrong("`address:port`, such as 127.0.0.1:8339")
        }
        Kind::Regex { look } => {
            let error = if look {
                fancy_regex::Regex::new(item)
                    .err()
                    .map(|error| error.to_string())
            } else {
                regex::Regex::new(item).err().map(|error| error.to_string())
            };
            error.map(|error| {
                (
                    Level::Error,
                    format!(
                        "the expression does not compile: {}",
                        error.lines().last().unwrap_or_default()
                    ),
                )
            })
        }
        Kind::Networks => split_words(item)
            .find(|word| {
                crate::addr::parse_ip(word).is_none() && crate::addr::parse_net(word).is_none()
            })
            .map(|word| {
                (
                    Level::Error,
                    format!("`{}` is not an address or network", excerpt(word)),
                )
            }),
        Kind::Address if item.is_empty() || item.contains(char::is_whitespace) => {
            wrong("an address or host name")
        }
        _ => None,
    }
}
