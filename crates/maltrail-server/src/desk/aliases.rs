//! Names that people give addresses, beside those of `IP_ALIASES`.

use std::net::IpAddr;

use maltrail_core::addr::{parse_ip, parse_net};
use rusqlite::params;
use serde::Serialize;

use super::{Desk, DeskError, Who, record};
use crate::store::lock;

/// Aliases in all.
pub(crate) const MAX_ALIASES: u32 = 20_000;
/// Longest label in characters (as in the reference's page).
const LABEL_CHARS: usize = 40;

/// A name for an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub(crate) struct Alias {
    /// An address; from `IP_ALIASES` also a network or a range, as written there.
    pub(crate) address: String,
    pub(crate) label: String,
    /// From `IP_ALIASES`: to be changed there.
    pub(crate) fixed: bool,
}

/// `IP_ALIASES`: the items that name addresses.
#[derive(Debug, Default)]
pub(crate) struct Configured(Vec<Alias>);

impl Configured {
    /// Items that name no address have no effect here; the configuration has warned of them.
    pub(super) fn new(items: &[(String, String)]) -> Self {
        let alias = |(text, label): &(String, String)| {
            span(text)?;
            Some(Alias {
                address: text.clone(),
                label: label.chars().take(LABEL_CHARS).collect(),
                fixed: true,
            })
        };
        Self(items.iter().filter_map(alias).collect())
    }
}

/// First and last address of an address, a network or a range.
fn span(text: &str) -> Option<(IpAddr, IpAddr)> {
    if let Some(address) = parse_ip(text) {
        return Some((address.to_canonical(), address.to_canonical()));
    }
    if let Some(net) = parse_net(text) {
        return Some((net.network(), net.broadcast()));
    }
    let (first, last) = text.split_once('-')?;
    let (first, last) = (parse_ip(first.trim())?, parse_ip(last.trim())?);
    (first.is_ipv4() == last.is_ipv4() && first <= last).then_some((first, last))
}

impl Desk {
    /// Every alias, those of people first, each kind by address.
    pub(crate) fn aliases(&self) -> Result<Vec<Alias>, DeskError> {
        let connection = self.file.connection();
        let mut query =
            connection.prepare_cached("SELECT address, label FROM alias ORDER BY address")?;
        let aliases = query.query_map([], |row| {
            Ok(Alias {
                address: row.get(0)?,
                label: row.get(1)?,
                fixed: false,
            })
        })?;
        let mut aliases: Vec<Alias> = aliases.collect::<Result<_, _>>()?;
        aliases.extend(self.configured.0.iter().cloned());
        Ok(aliases)
    }

    /// Names an address; an empty label takes the name away.
    pub(crate) fn set_alias(&self, address: &str, label: &str, who: &Who) -> Result<(), DeskError> {
        let wrong = || DeskError::Invalid(format!("`{address}` is not an address."));
        let address = parse_ip(address)
            .ok_or_else(wrong)?
            .to_canonical()
            .to_string();
        let label = label.trim();
        if label.chars().count() > LABEL_CHARS || label.contains(char::is_control) {
            let text = format!("A name for an address has at most {LABEL_CHARS} characters.");
            return Err(DeskError::Invalid(text));
        }
        let _writer = lock(&self.writer);
        let mut connection = self.file.connection();
        let transaction = connection.transaction()?;
        let old: Option<String> = {
            let mut query =
                transaction.prepare_cached("SELECT label FROM alias WHERE address = ?1")?;
            let mut rows = query.query([&address])?;
            rows.next()?.map(|row| row.get(0)).transpose()?
        };
        if old.as_deref().unwrap_or_default() == label {
            return Ok(());
        }
        if label.is_empty() {
            transaction.execute("DELETE FROM alias WHERE address = ?1", [&address])?;
        } else {
            let all: u32 =
                transaction.query_row("SELECT count(*) FROM alias", [], |row| row.get(0))?;
            if old.is_none() && all >= MAX_ALIASES {
                let text = format!(
                    "{MAX_ALIASES} addresses have names, which is as many as are kept; remove some."
                );
                return Err(DeskError::Full(text));
            }
            transaction.execute(
                "INSERT OR REPLACE INTO alias VALUES (?1, ?2)",
                params![address, label],
            )?;
        }
        let to = (!label.is_empty()).then_some(label);
        record(&transaction, who, "alias.set", &address, old.as_deref(), to)?;
        transaction.commit()?;
        Ok(())
    }
}

/// Whether an alias names an address of these networks only.
pub(crate) fn is_within(alias: &Alias, networks: &[ipnet::IpNet]) -> bool {
    let inside = |first: IpAddr, last: IpAddr| {
        networks
            .iter()
            .any(|net| net.contains(&first) && net.contains(&last))
    };
    span(&alias.address).is_some_and(|(first, last)| inside(first, last))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{audit_of, desk, who};
    use super::*;

    fn labels(desk: &Desk) -> Vec<(String, String)> {
        let aliases = desk.aliases().unwrap();
        aliases
            .into_iter()
            .map(|alias| (alias.address, alias.label))
            .collect()
    }

    #[test]
    fn addresses_get_one_name_in_one_spelling() {
        let dir = tempfile::tempdir().unwrap();
        let desk = desk(dir.path());
        let ann = who("ann", 1);
        desk.set_alias("2001:DB8:0::1", "door", &ann).unwrap();
        desk.set_alias("::ffff:10.0.0.5", "printer", &ann).unwrap();
        desk.set_alias("10.0.0.5", " printer 2 ", &ann).unwrap();
        desk.set_alias("10.0.0.5", "printer 2", &ann).unwrap();
        assert_eq!(
            labels(&desk),
            [
                ("10.0.0.5".into(), "printer 2".into()),
                ("2001:db8::1".into(), "door".into())
            ]
        );
        desk.set_alias("2001:db8::1", "", &ann).unwrap();
        assert_eq!(labels(&desk).len(), 1);
        assert_eq!(audit_of(&desk).len(), 4, "saying it again is no change");
        for (address, label) in [
            ("host", "x"),
            ("10.0.0.0/8", "x"),
            ("10.0.0.1", "a\nb"),
            ("10.0.0.1", &"x".repeat(LABEL_CHARS + 1)),
        ] {
            let error = desk.set_alias(address, label, &ann).unwrap_err();
            assert!(matches!(error, DeskError::Invalid(_)));
        }
    }

    #[test]
    fn restricted_users_see_names_of_their_networks_only() {
        let items = [
            ("10.0.0.0/24", "office"),
            ("10.0.0.5-10.0.0.9", "desks"),
            ("192.0.2.1", "out"),
            ("10.0.0.0/7", "wide"),
            ("nonsense", "x"),
        ];
        let items = items.map(|(address, label)| (address.to_owned(), label.to_owned()));
        let configured = Configured::new(&items);
        assert_eq!(configured.0.len(), 4);
        let networks = ["10.0.0.0/8".parse().unwrap()];
        let seen: Vec<&str> = configured
            .0
            .iter()
            .filter(|alias| is_within(alias, &networks))
            .map(|alias| &*alias.label)
            .collect();
        assert_eq!(seen, ["office", "desks"]);
    }

    #[test]
    fn a_full_list_refuses_new_names_only() {
        let dir = tempfile::tempdir().unwrap();
        let desk = desk(dir.path());
        let fill = format!(
            "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < {MAX_ALIASES})
             INSERT INTO alias SELECT '10.' || (x >> 16) || '.' || (x >> 8 & 255) || '.' || (x & 255), 'n' FROM n"
        );
        desk.file.connection().execute(&fill, []).unwrap();
        let ann = who("ann", 1);
        assert!(matches!(
            desk.set_alias("192.0.2.1", "x", &ann),
            Err(DeskError::Full(_))
        ));
        desk.set_alias("10.0.0.1", "y", &ann).unwrap();
    }
}
