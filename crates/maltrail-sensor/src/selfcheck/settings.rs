//! The settings in force, each with its origin. Secrets are not printed.

use maltrail_core::config::options::{self, Kind, OPTIONS, Section};
use maltrail_core::config::settings::Setting;
use maltrail_core::config::{Config, Origin};

use super::Checks;
use crate::console::say;

/// Options, and families of them, that hold a secret.
const SECRET: [&str; 5] = [
    "USERS",
    "UDP_KEY",
    "AUTH_KEY_",
    "ALERT_WEBHOOK_URL",
    "UPDATE_SERVER_TOKEN",
];

pub(super) fn print(config: &Config, checks: &mut Checks) {
    in_force(config, checks);
    let mut set = 0;
    for section in [Section::Sensor, Section::All] {
        say(&format!("[i] settings [{}]:", section.title()));
        for option in OPTIONS.iter().filter(|option| option.section == section) {
            if let Some(setting) = config.settings.get(option.name) {
                set += usize::from(setting.origin != Origin::Default);
                say(&line(option.name, setting));
            }
        }
    }
    for (name, setting) in config
        .settings
        .iter()
        .filter(|(name, _)| name.starts_with("AUTH_KEY_"))
    {
        say(&line(name, setting));
    }
    checks.good(&format!(
        "{set} settings come from the file or the environment; the others are defaults"
    ));
}

/// Values that are worked out rather than written.
fn in_force(config: &Config, checks: &mut Checks) {
    let capture = &config.capture;
    checks.note(&format!(
        "in force: SENSOR_NAME {}, CAPTURE_BUFFER_SIZE {} bytes, LOG_DIR `{}`, TRAILS_FILE `{}`, CUSTOM_TRAILS_DIR `{}`",
        config.detect.sensor_name,
        capture.buffer_bytes,
        config.log_dir.display(),
        config.trails.file.display(),
        config.trails.custom_dir.display()
    ));
}

fn line(name: &str, setting: &Setting) -> String {
    let value = if SECRET.iter().any(|secret| name.starts_with(secret)) {
        if setting.items.is_empty() { "" } else { "…" }.to_owned()
    } else {
        let items: Vec<String> = setting.items.iter().map(|item| shown(name, item)).collect();
        items.join(", ")
    };
    let value = if value.is_empty() { "(unset)" } else { &value };
    format!("    {name} = {value} ({})", setting.origin)
}

/// The value in force: a number outside its bounds is moved; what stands before the `@` of a URL is hidden.
fn shown(name: &str, item: &str) -> String {
    if let Some(Kind::Int {
        min,
        max,
        clamp: true,
    }) = options::find(name).map(|option| option.kind)
    {
        return item.parse().map_or_else(
            |_| item.to_owned(),
            |value: i64| Ord::clamp(value, min, max).to_string(),
        );
    }
    let Some((scheme, rest)) = item.split_once("://") else {
        return item.to_owned();
    };
    let host = rest.split('/').next().unwrap_or_default();
    match host.rsplit_once('@') {
        Some((user, _)) => format!("{scheme}://…{}", rest.get(user.len()..).unwrap_or_default()),
        None => item.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(item: &str, origin: Origin) -> Setting {
        Setting {
            items: if item.is_empty() {
                Vec::new()
            } else {
                vec![item.to_owned()]
            },
            origin,
        }
    }

    #[test]
    fn values_have_their_origin() {
        let of = |name, item, origin| line(name, &setting(item, origin));
        assert_eq!(
            of("LOG_DIR", "/logs", Origin::File(7)),
            "    LOG_DIR = /logs (line 7)"
        );
        assert_eq!(
            of("SCAN_WINDOW", "99999", Origin::Environment),
            "    SCAN_WINDOW = 3600 (environment)"
        );
        assert_eq!(
            of("PROXY_ADDRESS", "", Origin::Default),
            "    PROXY_ADDRESS = (unset) (default)"
        );
    }

    #[test]
    fn secrets_are_hidden() {
        for (name, item) in [
            ("USERS", "admin:0123456789abcdef"),
            ("UDP_KEY", "0123456789abcdef"),
            ("UPDATE_SERVER_TOKEN", "mt_0123456789abcdef"),
            ("AUTH_KEY_OTX", "0123456789abcdef"),
            ("PROXY_ADDRESS", "http://ann:0123456789abcdef@proxy:3128"),
            (
                "UPDATE_SERVER",
                "https://ann:a@b0123456789abcdef@host/trails?x=1",
            ),
        ] {
            let line = line(name, &setting(item, Origin::File(1)));
            assert!(
                !line.contains("0123456789abcdef") && line.contains('…'),
                "{line}"
            );
        }
        assert_eq!(
            shown("PROXY_ADDRESS", "http://ann:secret@proxy:3128/x"),
            "http://…@proxy:3128/x"
        );
        assert_eq!(
            shown("PROXY_ADDRESS", "http://proxy:3128/a@b"),
            "http://proxy:3128/a@b"
        );
    }
}
