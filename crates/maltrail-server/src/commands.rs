//! The commands `role` and `token`: accounts and tokens on the console, also while the server runs.

use anyhow::{Context, bail};
use maltrail_core::config::Config;
use maltrail_core::time::Timestamp;

use crate::args::{TokenAdd, TokenCommand};
use crate::auth::grants::Grants;
use crate::auth::tokens::{DEFAULT_DAYS, Token, Wish};
use crate::auth::{Role, console};
use crate::cli::{complain, say};

pub(crate) fn role(config: &Config, user: &str, role: &str) -> anyhow::Result<()> {
    let role = Role::parse(role).context("a role is viewer, analyst or admin")?;
    let before = console::set_role(config, user, role, Timestamp::now())?;
    say(&format!(
        "[i] `{user}` is {} now (before: {})",
        role.word(),
        before.word()
    ));
    Ok(())
}

pub(crate) fn token(config: &Config, command: TokenCommand) -> anyhow::Result<()> {
    match command {
        TokenCommand::Add(add) => add_token(config, &add),
        TokenCommand::List => list(config),
        TokenCommand::Revoke { id } => {
            let gone = console::revoke_token(config, &id, Timestamp::now())?;
            say(&format!("[i] the token `{}` ({id}) is revoked", gone.name));
            Ok(())
        }
    }
}

/// The text goes to standard output alone, so that a script can keep it; what it is goes to standard error.
fn add_token(config: &Config, add: &TokenAdd) -> anyhow::Result<()> {
    let (name, grants) = match &add.sensor {
        Some(sensor) => (sensor.as_str(), Grants::parse(["sensor"])),
        None => (
            add.name.as_deref().unwrap_or("console"),
            Grants::parse(add.scope.iter().map(String::as_str)),
        ),
    };
    let Ok(grants) = grants else {
        bail!("a scope is read, write, admin, sensor or blocklist");
    };
    let days = add
        .expires
        .or_else(|| add.sensor.is_none().then_some(DEFAULT_DAYS));
    let wish = Wish {
        name,
        owner: None,
        grants,
        days,
    };
    let (text, token) = console::add_token(config, add.user.as_deref(), &wish, Timestamp::now())?;
    complain(&format!("[i] {}", about(&token)));
    complain("[i] it is shown only now; whoever has it may do this:");
    say(&text);
    Ok(())
}

fn list(config: &Config) -> anyhow::Result<()> {
    for token in console::list_tokens(config)? {
        say(&about(&token));
    }
    Ok(())
}

/// `id  name  scopes  account  end  last use`
fn about(token: &Token) -> String {
    let day = |time: Timestamp| time.to_rfc3339().chars().take(10).collect::<String>();
    let owner = token.owner.as_ref().map(|owner| owner.name.as_str());
    let end = match token.expires {
        Some(end) if token.is_expired(Timestamp::now()) => format!("expired {}", day(end)),
        Some(end) => format!("until {}", day(end)),
        None => "without end".to_owned(),
    };
    format!(
        "{}  {}  {}  {}  {end}  {}",
        token.id,
        token.name,
        token.grants.words().join(","),
        owner.map_or_else(|| "of the console".to_owned(), |name| format!("of {name}")),
        token.used.map_or_else(
            || "never used".to_owned(),
            |used| format!("last used {}", day(used))
        )
    )
}
