//! Block lists: sources of today's events that fit the operator's rules, for a firewall to read.
//!
//! Never named: own addresses (`HOME_NETWORKS`, and what cannot be routed), whitelisted ones, and ones
//! that `cleared.txt` settles. A day file is read once: each list remembers how far it has come.
//!
//! Bounds: [`MAX_ADDRESSES`] addresses of a list, further ones are counted and said; [`MAX_LISTS`] lists and
//! scopes in memory, beyond which all begin anew.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use maltrail_core::addr::{NetworkSet, parse_ip};
use maltrail_core::config::Config;
use maltrail_core::event::line::split_columns;
use maltrail_core::time::{Day, Timestamp};
use maltrail_core::trail::Whitelist;
use maltrail_feeds::load;
use regex::Regex;

use super::cleared::Cleared;
use super::rules::{Columns, Rules, compile};
use crate::store::dayfile::{DayFile, Inodes};
use crate::store::scoped::Scope;
use crate::store::{Store, lock};

/// Most addresses of a list.
const MAX_ADDRESSES: usize = 200_000;
/// Most lists and scopes that are remembered.
const MAX_LISTS: usize = 64;
/// How long a whitelist counts before its files are read again.
const WHITELIST_AGE: Duration = Duration::from_secs(10);

/// Which events a list takes.
#[derive(Debug)]
enum Test {
    Line(Regex),
    Columns(Rules),
}

impl Test {
    fn takes(&self, line: &str, columns: &Columns<'_>) -> bool {
        match self {
            Self::Line(expression) => expression.is_match(line),
            Self::Columns(rules) => rules.hold(columns),
        }
    }
}

/// How far a list has come in a day.
#[derive(Debug, Default)]
struct Progress {
    day: Option<Day>,
    inodes: Option<Inodes>,
    at: u64,
    /// Source → its last event that the list takes.
    sources: BTreeMap<IpAddr, Timestamp>,
    overflow: u64,
}

/// An option by its name and the asker's scope.
type Key = (String, Scope);

/// All lists of the configuration.
#[derive(Debug)]
pub(crate) struct BlockLists {
    /// Option → its test; `None` when it cannot be used.
    tests: HashMap<String, Option<Test>>,
    home: NetworkSet,
    config: Config,
    whitelist: Mutex<Option<(Instant, Arc<Whitelist>)>>,
    /// std lock: held for map operations only.
    progress: Mutex<HashMap<Key, Arc<Mutex<Progress>>>>,
}

impl BlockLists {
    pub(crate) fn new(config: &Config) -> Self {
        let mut tests = HashMap::new();
        for (name, setting) in config.settings.iter() {
            let items = setting.items.iter().map(String::as_str);
            if items.clone().all(|item| item.trim().is_empty()) {
                continue;
            }
            let is_list = name == "BLACKLIST"
                || (name.starts_with("BLACKLIST_") && name != "BLACKLIST_ALLOWLIST");
            if is_list {
                tests.insert(name.to_owned(), Rules::parse(items).map(Test::Columns));
            } else if name == "FAIL2BAN_REGEX" {
                let expression = setting.items.first().and_then(|text| compile(text));
                tests.insert(name.to_owned(), expression.map(Test::Line));
            }
        }
        Self {
            tests,
            home: config.home_networks.clone(),
            config: config.clone(),
            whitelist: Mutex::default(),
            progress: Mutex::default(),
        }
    }

    /// The addresses of the list of this option, one a line; or the option's mistake.
    pub(crate) fn list(
        &self,
        store: &Store,
        option: &str,
        scope: &Scope,
    ) -> Result<String, String> {
        let test = match self.tests.get(option) {
            Some(Some(test)) => test,
            Some(None) if option == "FAIL2BAN_REGEX" => {
                return Err(format!(
                    "invalid regular expression used in option {option}"
                ));
            }
            Some(None) => return Err(format!("invalid rule in option {option}")),
            None => return Err(format!("configuration option {option} not set")),
        };
        let progress = self.progress(option, scope);
        let mut progress = lock(&progress);
        progress.catch_up(store, test, scope, &self.home);
        let cleared = Cleared::read(store.log_dir(), store.zone());
        let whitelist = self.whitelist();
        let sources = progress.sources.iter();
        let listed = sources.filter(|&(&source, &time)| {
            !cleared.covers(source, time) && !whitelist.covers_address(source)
        });
        let lines: Vec<String> = listed.map(|(source, _)| source.to_string()).collect();
        Ok(lines.join("\n"))
    }

    fn progress(&self, option: &str, scope: &Scope) -> Arc<Mutex<Progress>> {
        let mut all = lock(&self.progress);
        let key = (option.to_owned(), scope.clone());
        if all.len() >= MAX_LISTS && !all.contains_key(&key) {
            all.clear();
        }
        Arc::clone(all.entry(key).or_default())
    }

    /// The whitelist; as it was before when its files cannot be read.
    fn whitelist(&self) -> Arc<Whitelist> {
        let mut known = lock(&self.whitelist);
        if let Some((read, whitelist)) = known.as_ref()
            && read.elapsed() < WHITELIST_AGE
        {
            return Arc::clone(whitelist);
        }
        let fresh = load::whitelist(&self.config.trails, &self.config.root);
        let whitelist = match (fresh, known.as_ref()) {
            (Ok(whitelist), _) => Arc::new(whitelist),
            (Err(error), before) => {
                tracing::error!(%error, "block lists: the whitelist is not read anew");
                before.map_or_else(Arc::default, |(_, whitelist)| Arc::clone(whitelist))
            }
        };
        *known = Some((Instant::now(), Arc::clone(&whitelist)));
        whitelist
    }
}

impl Progress {
    /// Reads what today's file has got since the last time.
    fn catch_up(&mut self, store: &Store, test: &Test, scope: &Scope, home: &NetworkSet) {
        let today = store.today();
        let Ok(file) = DayFile::open(store.log_dir(), today) else {
            *self = Self::default();
            return;
        };
        let shorter = file.known_len().is_some_and(|len| len < self.at);
        if self.day != Some(today) || self.inodes != Some(file.inodes()) || shorter {
            *self = Self {
                day: Some(today),
                inodes: Some(file.inodes()),
                ..Self::default()
            };
        }
        let mut chunk = Vec::new();
        while file.read_chunk(self.at, &mut chunk).is_ok() && !chunk.is_empty() {
            self.at += chunk.len() as u64;
            for line in chunk.split(|&byte| byte == b'\n') {
                let Ok(line) = std::str::from_utf8(line) else {
                    continue;
                };
                let Some(line) = scope.line(line.trim_end_matches('\r')) else {
                    continue;
                };
                if let Ok(columns) = split_columns(&line)
                    && test.takes(&line, &columns)
                    && let Some(time) = store.zone().parse_log_time(&columns[0])
                {
                    self.take(&columns[2], time, home);
                }
            }
        }
    }

    /// Takes every source of an event.
    fn take(&mut self, sources: &str, time: Timestamp, home: &NetworkSet) {
        for source in sources
            .split(',')
            .filter_map(|source| parse_ip(source.trim()))
        {
            let source = source.to_canonical();
            if home.contains(source) || is_nobody(source) {
                continue;
            }
            if let Some(last) = self.sources.get_mut(&source) {
                *last = time.max(*last);
            } else if self.sources.len() < MAX_ADDRESSES {
                self.sources.insert(source, time);
            } else {
                self.overflow += 1;
                if self.overflow == 1 {
                    tracing::warn!(
                        most = MAX_ADDRESSES,
                        "block lists: a list is full; further addresses of today are left out"
                    );
                }
            }
        }
    }
}

/// Addresses that no firewall should be told about: blocking them blocks this machine, or nobody.
fn is_nobody(address: IpAddr) -> bool {
    address.is_loopback()
        || address.is_unspecified()
        || address.is_multicast()
        || matches!(address, IpAddr::V4(v4) if v4.is_broadcast() || v4.is_link_local())
        || matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_list_counts_what_it_leaves_out_and_keeps_known_addresses_fresh() {
        let mut progress = Progress::default();
        let home = NetworkSet::private();
        let at = |secs| Timestamp::from_parts(secs, 0);
        for n in 0..=MAX_ADDRESSES as u32 {
            let source = IpAddr::from((0x2000_0000 + n).to_be_bytes());
            progress.take(&source.to_string(), at(1), &home);
        }
        assert_eq!(
            (progress.sources.len(), progress.overflow),
            (MAX_ADDRESSES, 1)
        );
        progress.take("32.0.0.0", at(2), &home);
        assert_eq!(progress.sources[&IpAddr::from([32, 0, 0, 0])], at(2));
        assert_eq!(progress.overflow, 1);
    }

    #[test]
    fn own_addresses_and_nobody_are_never_taken() {
        let mut progress = Progress::default();
        let sources = "10.0.0.5,127.0.0.1,::1,0.0.0.0,255.255.255.255,224.0.0.1,169.254.1.1,fe80::1,::ffff:10.0.0.9,x,203.0.113.9, ::ffff:203.0.113.10";
        progress.take(sources, Timestamp::from_parts(1, 0), &NetworkSet::private());
        let taken: Vec<String> = progress.sources.keys().map(ToString::to_string).collect();
        assert_eq!(taken, ["203.0.113.9", "203.0.113.10"]);
    }
}
