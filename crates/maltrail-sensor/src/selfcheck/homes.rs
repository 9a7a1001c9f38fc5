//! Whether `~` means the same folder for the sensor, run with sudo, and for the server, run without.

use std::fs;
use std::path::{Path, PathBuf};

use maltrail_core::config::{Config, Environment};

use super::Checks;

/// Options that both programs read as a path.
const SHARED: [&str; 2] = ["TRAILS_FILE", "LOG_DIR"];

pub(super) fn check(config: &Config, environment: &Environment, checks: &mut Checks) {
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let Some((user, other)) = sudo_caller(environment, &passwd) else {
        return;
    };
    for option in SHARED {
        let Some(rest) = config
            .settings
            .text(option)
            .and_then(|text| text.strip_prefix('~'))
        else {
            continue;
        };
        let rest = rest.trim_start_matches('/');
        let (ours, theirs) = (environment.home.join(rest), other.join(rest));
        checks.fail(
            "home-differs",
            &format!(
                "{option} begins with `~`, which is `{}` here and `{}` for {user}: sensor and server would use different files",
                ours.display(),
                theirs.display()
            ),
            "Name a full path.",
        );
    }
}

/// Who called sudo, and their home folder when it is another than ours.
fn sudo_caller(environment: &Environment, passwd: &str) -> Option<(String, PathBuf)> {
    let user = environment
        .variables
        .get("SUDO_USER")
        .filter(|user| !user.is_empty())?;
    let home = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == user).then(|| fields.nth(4))?
    })?;
    (Path::new(home) != environment.home).then(|| (user.clone(), PathBuf::from(home)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str =
        "root:x:0:0:root:/root:/bin/bash\nann:x:1000:1000:Ann,,,:/home/ann:/bin/sh\nbad\n";

    fn environment(home: &str, user: Option<&str>) -> Environment {
        let mut environment = Environment {
            home: home.into(),
            ..Environment::default()
        };
        if let Some(user) = user {
            environment
                .variables
                .insert("SUDO_USER".to_owned(), user.to_owned());
        }
        environment
    }

    #[test]
    fn only_a_caller_with_another_home_matters() {
        let caller = |home, user| sudo_caller(&environment(home, user), PASSWD);
        assert_eq!(
            caller("/root", Some("ann")),
            Some(("ann".to_owned(), "/home/ann".into()))
        );
        assert_eq!(caller("/home/ann", Some("ann")), None, "sudo kept HOME");
        assert_eq!(caller("/root", Some("root")), None);
        assert_eq!(caller("/root", Some("bad")), None);
        assert_eq!(caller("/root", Some("")), None);
        assert_eq!(caller("/root", None), None);
    }
}
