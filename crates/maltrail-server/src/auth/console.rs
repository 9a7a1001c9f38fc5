//! Accounts and tokens from the server's console. These work while the server runs: they change the state
//! file, which the server reads at each use.

use anyhow::{Context, bail};
use maltrail_core::config::{Config, UserEntry};
use maltrail_core::time::Timestamp;

use super::grants::Grants;
use super::role::{change_role, role_of};
use super::state_file::{Replaced, StateFile};
use super::tokens::{self, Owner, Token, TokenError, Wish};
use super::{Role, fingerprint, password, state_path};
use crate::audit::{self, CONSOLE};

fn open(config: &Config) -> anyhow::Result<StateFile> {
    let path = state_path(&config.log_dir);
    StateFile::open(&path).with_context(|| format!("cannot open `{}`", path.display()))
}

fn entry<'a>(config: &'a Config, name: &str) -> anyhow::Result<&'a UserEntry> {
    let entry = config.server.users.iter().find(|entry| entry.name == name);
    entry.with_context(|| {
        format!("USERS has no account named `{name}`; add a line `{name}:HASH:0:` to the configuration first")
    })
}

const fn change<'a>(action: &'static str, object: &'a str, at: Timestamp) -> audit::Change<'a> {
    audit::Change {
        actor: CONSOLE,
        address: "",
        action,
        object,
        from: None,
        to: None,
        at,
    }
}

/// Sets a password.
pub(crate) fn set_password(
    config: &Config,
    name: &str,
    new: &str,
    now: Timestamp,
) -> anyhow::Result<()> {
    let entry = entry(config, name)?;
    password::check_new(name, "", new).map_err(anyhow::Error::msg)?;
    let hash = password::hash_new(new).context("the system has no random numbers")?;
    let replaced = Replaced {
        hash,
        changed: true,
    };
    let state = open(config)?;
    state.replace_password(
        name,
        &fingerprint(entry),
        &replaced,
        Some(&change("user.password", name, now)),
    )?;
    for (token, session) in state.sessions()? {
        if session.name == name {
            state.drop_session(&token, None)?;
        }
    }
    Ok(())
}

/// Gives an account a role; returns the one it had.
pub(crate) fn set_role(
    config: &Config,
    name: &str,
    role: Role,
    now: Timestamp,
) -> anyhow::Result<Role> {
    entry(config, name)?;
    let state = open(config)?;
    let before = state.change(|connection| {
        let before = change_role(connection, &config.server.users, name, role)?;
        audit::record(
            connection,
            &audit::Change {
                from: Some(before.word()),
                to: Some(role.word()),
                ..change("user.role", name, now)
            },
        )?;
        Ok::<_, super::role::RoleError>(before)
    })?;
    Ok(before)
}

/// Makes a token, for an account or for a machine.
pub(crate) fn add_token(
    config: &Config,
    user: Option<&str>,
    wish: &Wish<'_>,
    now: Timestamp,
) -> anyhow::Result<(String, Token)> {
    let state = open(config)?;
    let owner = user.map(|name| entry(config, name)).transpose()?;
    let made = state.change(|connection| {
        if let Some(entry) = owner {
            let masked = config.server.mask_custom && entry.is_restricted();
            let may = Grants::of_account(role_of(connection, entry), masked);
            if !wish.grants.is_within(may) {
                let beyond = wish.grants.without(may).words().join(", ");
                return Err(TokenError::Beyond(beyond));
            }
        }
        let wish = Wish {
            owner: owner.map(owner_of),
            ..wish.clone()
        };
        let (text, token) = tokens::create(connection, &wish, now)?;
        let about = token.summary();
        audit::record(
            connection,
            &audit::Change {
                to: Some(&about),
                ..change("token.add", &token.id, now)
            },
        )?;
        Ok((text, token))
    })?;
    Ok(made)
}

fn owner_of(entry: &UserEntry) -> Owner {
    Owner {
        name: entry.name.clone(),
        entry: fingerprint(entry),
    }
}

/// Every token.
pub(crate) fn list_tokens(config: &Config) -> anyhow::Result<Vec<Token>> {
    Ok(tokens::list(&open(config)?.connection())?)
}

/// Ends a token.
pub(crate) fn revoke_token(config: &Config, id: &str, now: Timestamp) -> anyhow::Result<Token> {
    let gone = open(config)?.change(|connection| {
        let gone = tokens::revoke(connection, id)?;
        if let Some(token) = &gone {
            let about = token.summary();
            audit::record(
                connection,
                &audit::Change {
                    from: Some(&about),
                    ..change("token.revoke", id, now)
                },
            )?;
        }
        Ok::<_, super::StateError>(gone)
    })?;
    match gone {
        Some(token) => Ok(token),
        None => bail!("there is no token `{id}`; `server token list` shows them"),
    }
}

#[cfg(test)]
mod tests {
    use maltrail_core::config::Environment;

    use super::*;

    const HASH: &str = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";

    fn config(dir: &std::path::Path) -> Config {
        let text = format!(
            "LOG_DIR {}\nENABLE_MASK_CUSTOM true\nUSERS\n    ann:{HASH}:0:\n    ron:{HASH}:1000:\n",
            dir.display()
        );
        Config::parse(&text, "test.conf", dir, &Environment::default())
            .unwrap()
            .0
    }

    fn wish(scopes: &[&'static str], days: Option<u32>) -> Wish<'static> {
        Wish {
            name: "gate",
            owner: None,
            grants: Grants::parse(scopes.iter().copied()).unwrap(),
            days,
        }
    }

    #[test]
    fn what_the_console_does_is_in_the_audit() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path());
        let now = Timestamp::from_micros(1_700_000_000_000_000);
        set_password(&config, "ann", "correct horse", now).unwrap();
        assert_eq!(
            set_role(&config, "ron", Role::Analyst, now).unwrap(),
            Role::Viewer
        );
        let (_, token) = add_token(&config, None, &wish(&["sensor"], None), now).unwrap();
        revoke_token(&config, &token.id, now).unwrap();
        assert!(list_tokens(&config).unwrap().is_empty());
        let wanted = audit::Wanted {
            limit: 10,
            ..audit::Wanted::default()
        };
        let entries = audit::entries(&open(&config).unwrap().connection(), &wanted).unwrap();
        let seen: Vec<(&str, &str)> = entries
            .iter()
            .map(|entry| (entry.action.as_str(), entry.object.as_str()))
            .collect();
        assert_eq!(
            seen,
            [
                ("token.revoke", token.id.as_str()),
                ("token.add", token.id.as_str()),
                ("user.role", "ron"),
                ("user.password", "ann"),
            ]
        );
        assert!(entries.iter().all(|entry| entry.actor == CONSOLE));
        assert_eq!(entries[2].from.as_deref(), Some("viewer"));
    }

    #[test]
    fn refused_commands_change_and_record_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path());
        let now = Timestamp::from_micros(1_700_000_000_000_000);
        let refused = [
            set_password(&config, "eve", "correct horse", now).err(),
            set_password(&config, "ann", "short", now).err(),
            set_role(&config, "eve", Role::Viewer, now).err(),
            set_role(&config, "ron", Role::Admin, now).err(),
            set_role(&config, "ann", Role::Viewer, now).err(),
            add_token(&config, Some("eve"), &wish(&["read"], Some(1)), now).err(),
            add_token(&config, Some("ron"), &wish(&["sensor"], Some(1)), now).err(),
            add_token(&config, None, &wish(&["read"], Some(1)), now).err(),
            revoke_token(&config, "0123", now).err(),
        ];
        assert!(refused.iter().all(Option::is_some), "{refused:?}");
        let wanted = audit::Wanted {
            limit: 10,
            ..audit::Wanted::default()
        };
        let state = open(&config).unwrap();
        assert!(
            audit::entries(&state.connection(), &wanted)
                .unwrap()
                .is_empty()
        );
        assert!(tokens::list(&state.connection()).unwrap().is_empty());
    }
}
