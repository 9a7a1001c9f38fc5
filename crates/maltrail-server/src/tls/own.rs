//! The certificate that the server makes for itself.
//!
//! Kept in `LOG_DIR/server-certificate.pem`, mode 0600: comment lines with its names and its time,
//! the key (ECDSA P-256), the certificate. Made at the first start; made anew [`RENEW_SECS`] before
//! its end, when the machine has a name or an address that it lacks, and when the file is damaged. The
//! key stays then, unless others could read the file. The file is replaced, never changed in place.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, anyhow};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use maltrail_core::time::Timestamp;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair,
    KeyUsagePurpose, SerialNumber,
};
use rustls::pki_types::PrivatePkcs8KeyDer;

use super::names::MAX_NAMES;
use super::pem::{self, Identity};

/// File name in `LOG_DIR`.
pub(crate) const FILE: &str = "server-certificate.pem";
/// Browsers refuse certificates that are good for longer than 398 days.
const GOOD_SECS: i64 = 397 * DAY_SECS;
/// Clients' clocks may be behind.
const BEFORE_SECS: i64 = DAY_SECS;
/// Made anew this long before its end.
const RENEW_SECS: i64 = 30 * DAY_SECS;
const DAY_SECS: i64 = 86_400;
/// Most bytes of the file.
const MAX_BYTES: u64 = 64 << 10;

/// What the file says of its certificate.
#[derive(Debug)]
struct Kept {
    identity: Identity,
    names: Vec<String>,
    from: i64,
    ends: i64,
}

impl Kept {
    /// Whether it holds for `names` at `now`, and for some time to come.
    fn serves(&self, names: &[String], now: Timestamp) -> bool {
        let now = now.secs();
        self.from <= now && now < self.ends - RENEW_SECS && self.holds(names)
    }

    fn holds(&self, names: &[String]) -> bool {
        names.iter().all(|name| self.names.contains(name))
    }
}

/// A certificate for `names`: the one of the file, or a new one that is then in the file. The second
/// value says why it was made.
pub(crate) fn ensure(
    path: &Path,
    names: &[String],
    now: Timestamp,
) -> anyhow::Result<(Identity, Option<&'static str>)> {
    let kept = read(path);
    let (reason, kept) = match kept {
        Ok(Some(kept)) if kept.serves(names, now) => return Ok((kept.identity, None)),
        Ok(Some(kept)) if !kept.holds(names) => {
            ("this machine has other names or addresses", Some(kept))
        }
        Ok(Some(kept)) => ("the time of the last one ends", Some(kept)),
        Ok(None) => ("there was none", None),
        Err(error) => {
            tracing::warn!(%error, file = %path.display(), "tls: the kept certificate is of no use");
            ("the last one is of no use", None)
        }
    };
    let mut all = names.to_vec();
    // Names of before stay, so that an address that comes and goes does not make one each time.
    let before = kept.iter().flat_map(|kept| &kept.names);
    all.extend(before.filter(|name| !names.contains(name)).cloned());
    all.truncate(MAX_NAMES);
    let key = kept.as_ref().and_then(|kept| {
        KeyPair::try_from(&PrivatePkcs8KeyDer::from(
            kept.identity.key_der.secret_der(),
        ))
        .ok()
    });
    let text = make(&all, key, now)?;
    let identity = pem::identity(text.as_bytes())?;
    write(path, &text).with_context(|| format!("cannot write `{}`", path.display()))?;
    Ok((identity, Some(reason)))
}

/// The file's certificate; `None` without a file.
fn read(path: &Path) -> anyhow::Result<Option<Kept>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    if file.metadata()?.mode() & 0o077 != 0 {
        return Err(anyhow!("others can read its key (its mode is not 0600)"));
    }
    let mut text = String::new();
    file.take(MAX_BYTES).read_to_string(&mut text)?;
    let said = |key: &str| {
        let mut lines = text.lines();
        lines.find_map(|line| {
            line.strip_prefix("# ")?
                .strip_prefix(key)?
                .strip_prefix(": ")
        })
    };
    let second = |key| said(key).and_then(|text| text.parse().ok());
    let (Some(names), Some(from), Some(ends)) = (said("names"), second("from"), second("ends"))
    else {
        return Err(anyhow!("its comment lines are not those that were written"));
    };
    Ok(Some(Kept {
        identity: pem::identity(text.as_bytes())?,
        names: names.split(' ').map(str::to_owned).collect(),
        from,
        ends,
    }))
}

/// A new file's text.
fn make(names: &[String], key: Option<KeyPair>, now: Timestamp) -> anyhow::Result<String> {
    let key = match key {
        Some(key) => key,
        None => KeyPair::generate()?,
    };
    let mut params = CertificateParams::new(names.to_vec())?;
    let (from, ends) = (now.secs() - BEFORE_SECS, now.secs() + GOOD_SECS);
    let moment = |secs: i64| {
        rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(secs.max(0).unsigned_abs())
    };
    params.not_before = moment(from);
    params.not_after = moment(ends);
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, "Maltrail server");
    // Two certificates of one issuer with one number are refused by browsers.
    let mut serial = [0; 16];
    getrandom::fill(&mut serial).map_err(|_| anyhow!("the system has no random numbers"))?;
    serial[0] = serial[0] & 0x7f | 0x40;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let certificate = params.self_signed(&key)?;
    Ok(format!(
        "# The server's own certificate and its key. It is made by the server and renewed by it; delete the file to get another.\n# names: {}\n# from: {from}\n# ends: {ends}\n{}{}",
        names.join(" "),
        block("PRIVATE KEY", key.serialized_der()),
        block("CERTIFICATE", certificate.der()),
    ))
}

fn block(kind: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut lines = format!("-----BEGIN {kind}-----\n");
    for at in (0..text.len()).step_by(64) {
        lines += text.get(at..text.len().min(at + 64)).unwrap_or_default();
        lines.push('\n');
    }
    lines + &format!("-----END {kind}-----\n")
}

/// Replaces the file: whole or not at all, and never readable for others.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let new = path.with_extension("pem.new");
    let _ = std::fs::remove_file(&new);
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_parts(secs, 0)
    }

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|name| (*name).to_owned()).collect()
    }

    const NOW: i64 = 1_795_500_000;

    #[test]
    fn it_is_made_once_and_anew_before_it_ends() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        let names = names(&["localhost", "192.0.2.2"]);
        let ask = |secs| {
            let (identity, reason) = ensure(&path, &names, at(secs)).unwrap();
            (identity.fingerprint, reason.is_some())
        };
        let (first, made) = ask(NOW);
        assert!(made && first.len() == 95, "{first}");
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(ask(NOW + 366 * DAY_SECS), (first.clone(), false));
        let key = |path| read(path).unwrap().unwrap().identity.key_der.clone_key();
        let before = key(&path);
        let (second, made) = ask(NOW + 367 * DAY_SECS);
        assert!(made && second != first);
        assert_eq!(before, key(&path), "the key stays");
        let (third, made) = ask(NOW);
        assert!(
            made && third != second,
            "the clock stepped back before its time"
        );
    }

    #[test]
    fn a_new_name_or_address_makes_a_new_one_and_a_lost_one_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        let ask = |list: &[&str]| ensure(&path, &names(list), at(NOW)).unwrap().1;
        assert_eq!(ask(&["localhost", "192.0.2.2"]), Some("there was none"));
        assert_eq!(ask(&["localhost"]), None);
        assert!(ask(&["localhost", "192.0.2.3"]).is_some());
        assert_eq!(ask(&["192.0.2.2", "192.0.2.3"]), None, "both are in it now");
        let many: Vec<String> = (0..MAX_NAMES).map(|n| format!("n{n}")).collect();
        ensure(&path, &many, at(NOW)).unwrap();
        assert_eq!(read(&path).unwrap().unwrap().names, many, "bounded");
    }

    #[test]
    fn a_damaged_file_or_one_that_others_can_read_is_replaced() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        let names = names(&["localhost"]);
        let key = || ensure(&path, &names, at(NOW)).unwrap().0.key_der;
        let mut last = key();
        assert_eq!(last, key());
        let text = std::fs::read_to_string(&path).unwrap();
        let half = text.len() / 2;
        for damaged in [
            "",
            "x",
            &text[..half],
            &text.replace("# ends: 1", "# ends: x"),
        ] {
            std::fs::write(&path, damaged).unwrap();
            let new = key();
            assert_ne!(new, last, "{damaged}");
            last = new;
        }
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
        assert_ne!(key(), last, "its key may be known to others");
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    }
}
