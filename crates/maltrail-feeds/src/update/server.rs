//! `UPDATE_SERVER`: the whole set from another server.
//!
//! A server of ours is asked for its compressed image, any other for the CSV at the address itself; both
//! only if they changed since the set that is at hand. An image is checked whole before it is read, and its
//! rows go through the same rules as those of a CSV: nothing that the server sends is used as it came.

use std::io::{self, Read as _};
use std::path::Path;

use maltrail_core::trail::build::{BuildOptions, Built, Stage, TrailBuilder};
use maltrail_core::trail::{TrailSet, csv};

use super::inputs::Digest;
use super::record::{Record, Stamp};
use super::{Outcome, Phase, Update, UpdateError};
use crate::fetch::{ARCHIVE_BYTES, Answer, Fetch, FetchError, Fresh, Request};
use crate::gather::Source;
use crate::report::{Reason, Report};

/// Where a server of ours has its image.
const IMAGE: &str = "/api/v1/trails/image";
/// How an image begins.
const IMAGE_START: &[u8] = b"MTRLIMG\0";
/// Share of the rows, one in so many, that may have other than three columns.
const MALFORMED_SHARE: usize = 100;

impl Update<'_> {
    /// Takes the whole set from a server: normalised, sorted, nothing else of a build.
    pub(super) fn take_server_set(
        &self,
        url: &str,
        fetch: &dyn Fetch,
        folder: &Path,
        progress: &mut dyn FnMut(Phase),
    ) -> Result<Outcome, UpdateError> {
        let failed = |reason| UpdateError::Server {
            url: url.to_owned(),
            reason,
        };
        progress(Phase::Fetching(0, 1));
        let record = Record::read(folder);
        let at_hand = record
            .etag
            .as_deref()
            .filter(|_| self.is_own(&record) && !self.force);
        let token = self.config.update_server_token.as_deref();
        let answer = ask(url, at_hand, token, fetch).map_err(failed)?;
        progress(Phase::Fetching(1, 1));
        let (digest, etag, answer) = match answer {
            Answer::Unchanged => (record.inputs.clone(), record.etag.clone(), None),
            Answer::Fresh(fresh) => {
                let mut digest = Digest::new();
                digest.add(&["server", url, fresh.body.digest()]);
                (digest.finish(), fresh.etag.clone(), Some(fresh))
            }
        };
        let stands = self.stands(&record, &digest);
        let mut outcome = match (stands, answer) {
            (Some(rows), _) => Outcome {
                rows,
                before: Some(rows),
                bytes: Stamp::of(&self.config.file).map_or(0, |stamp| stamp.bytes),
                unchanged: true,
                report: Report::default(),
                sources: vec![source(url, rows, 0)],
                status: Vec::new(),
                notes: Vec::new(),
            },
            (None, None) => {
                return Err(failed(
                    "answer 304 to a question without condition".to_owned(),
                ));
            }
            (None, Some(fresh)) => {
                let (built, report) = rows_of(url, fresh, folder).map_err(failed)?;
                let source = source(url, report.entries, report.refused_total());
                self.replace(&built, report, vec![source], &record, progress)?
            }
        };
        self.conclude(folder, Record { etag, ..record }, &digest, &mut outcome);
        Ok(outcome)
    }
}

fn source(url: &str, entries: usize, refused: usize) -> Source {
    Source {
        name: url.to_owned(),
        entries,
        refused,
        ..Source::default()
    }
}

/// The image where there is one, else what is at the address. The token opens the operator's own trails.
fn ask(
    url: &str,
    etag: Option<&str>,
    token: Option<&str>,
    fetch: &dyn Fetch,
) -> Result<Answer, String> {
    let bearer = token.map(|token| format!("Bearer {token}"));
    let image = image_address(url);
    let request = |url| Request {
        etag,
        key: bearer.as_deref().map(|bearer| ("Authorization", bearer)),
        max_bytes: ARCHIVE_BYTES,
        ..Request::plain(url)
    };
    if let Some(image) = &image {
        match fetch.get(&request(image)) {
            Ok(Answer::Unchanged) => return Ok(Answer::Unchanged),
            Ok(Answer::Fresh(mut fresh)) => {
                if starts_with(&mut fresh, IMAGE_START) {
                    return Ok(Answer::Fresh(fresh));
                }
            }
            Err(error) if is_refusal(&error, token) => return Err(refused(&error)),
            // A server of the reference does not know the address, and whatever else is wrong shows again.
            Err(_) => {}
        }
    }
    fetch.get(&request(url)).map_err(|error| {
        if is_refusal(&error, token) {
            refused(&error)
        } else {
            error.to_string()
        }
    })
}

/// Whether the server wants no such token.
fn is_refusal(error: &FetchError, token: Option<&str>) -> bool {
    token.is_some() && matches!(error.status(), Some(401 | 403))
}

fn refused(error: &FetchError) -> String {
    format!(
        "{error}: it refuses UPDATE_SERVER_TOKEN, which is unknown there, expired or revoked; make another with `server token add --sensor NAME`"
    )
}

/// `http://host:port/trails` → `http://host:port/api/v1/trails/image`. Other paths are files, not servers.
fn image_address(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    matches!(path, "" | "/" | "/trails").then(|| format!("{scheme}://{host}{IMAGE}"))
}

fn starts_with(fresh: &mut Fresh, wanted: &[u8]) -> bool {
    let mut start = vec![0; wanted.len()];
    let read = fresh
        .body
        .open()
        .and_then(|body| body.read_exact(&mut start));
    read.is_ok() && start == wanted
}

/// The rows of an answer, one at a time into the builder.
fn rows_of(url: &str, mut fresh: Fresh, folder: &Path) -> Result<(Built, Report), String> {
    let text = |error: io::Error| error.to_string();
    let mut builder = TrailBuilder::new(BuildOptions::default());
    let mut report = Report::default();
    let mut add = |key: &str, info: &str, reference: &str| {
        report.entries += 1;
        let source = builder.source(info, reference, Stage::Static);
        if let Err(error) = builder.add(source, key) {
            report.refuse(url, report.entries, Reason::Key(error), key);
        }
    };
    if starts_with(&mut fresh, IMAGE_START) {
        let mut file = tempfile::Builder::new()
            .prefix(".trails-")
            .suffix(".new")
            .tempfile_in(folder)
            .map_err(text)?;
        io::copy(fresh.body.open().map_err(text)?, &mut file).map_err(text)?;
        let set = TrailSet::open(file.path(), None, true)
            .map_err(|error| format!("the answer is no image of trails: {error}"))?;
        set.rows()
            .for_each(|row| add(row.key, row.info, row.reference));
    } else {
        let mut start = Vec::new();
        let body = fresh.body.open().map_err(text)?;
        body.take(64).read_to_end(&mut start).map_err(text)?;
        if start.trim_ascii_start().starts_with(b"<") {
            return Err("the answer is a web page, not a trail set".to_owned());
        }
        let counts = csv::read(fresh.body.open().map_err(text)?, &mut add).map_err(text)?;
        if counts.rows == 0 || counts.malformed > counts.rows / MALFORMED_SHARE {
            return Err(format!(
                "the answer is no trail set: {} good rows, {} bad ones",
                counts.rows, counts.malformed
            ));
        }
    }
    Ok((builder.finish(), report))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::fs;
    use std::sync::Mutex;

    use maltrail_core::config::{Config, Environment, TrailsConfig};
    use maltrail_core::trail::{Origin, TrailSetBuilder, Whitelist};

    use super::*;
    /// Answers by address, with what was asked.
    #[derive(Default)]
    struct Server {
        answers: HashMap<&'static str, (Vec<u8>, &'static str)>,
        /// Requests without this key are refused.
        key: Option<&'static str>,
        asked: Mutex<Vec<(String, Option<String>)>>,
    }

    impl Fetch for Server {
        fn get(&self, request: &Request<'_>) -> Result<Answer, FetchError> {
            self.asked
                .lock()
                .expect("lock")
                .push((request.url.to_owned(), request.etag.map(str::to_owned)));
            if self.key.is_some() && request.key.map(|(_, value)| value) != self.key {
                return Err(FetchError::Status(401));
            }
            let (body, etag) = self
                .answers
                .get(request.url)
                .ok_or(FetchError::Status(404))?;
            if request.etag == Some(etag) {
                return Ok(Answer::Unchanged);
            }
            let mut fresh = Fresh::of(body).map_err(FetchError::Spool)?;
            fresh.etag = Some((*etag).to_owned());
            Ok(Answer::Fresh(fresh))
        }
    }

    const CSV: &str = "http://10.0.0.1:8338/trails";
    const IMG: &str = "http://10.0.0.1:8338/api/v1/trails/image";

    fn image(keys: &[&str]) -> Vec<u8> {
        let mut builder = TrailSetBuilder::new(Whitelist::default());
        keys.iter()
            .for_each(|key| builder.push(key, "zeus (malware)", "(static)"));
        let file = tempfile::NamedTempFile::new().expect("file");
        builder
            .write(file.as_file(), &Origin::default())
            .expect("image");
        fs::read(file.path()).expect("image")
    }

    struct House {
        root: tempfile::TempDir,
        config: TrailsConfig,
        server: Server,
    }

    impl House {
        fn new() -> Self {
            let root = tempfile::tempdir().expect("folder");
            let text = format!(
                "TRAILS_FILE {}/trails.csv\nUPDATE_SERVER {CSV}\n",
                root.path().display()
            );
            let (config, _) = Config::parse(&text, "f", root.path(), &Environment::default())
                .expect("configuration");
            Self {
                root,
                config: config.trails,
                server: Server::default(),
            }
        }

        fn run(&self) -> Result<Outcome, UpdateError> {
            let update = Update {
                config: &self.config,
                root: self.root.path(),
                from: None,
                built_in: true,
                fetch: Some(&self.server),
                feeds: true,
                force: false,
                owner: None,
            };
            update.run(&mut |_| {})
        }

        fn file(&self) -> String {
            fs::read_to_string(&self.config.file).unwrap_or_default()
        }
    }

    #[test]
    fn an_image_is_taken_once_and_then_only_when_it_changed() {
        let mut house = House::new();
        house
            .server
            .answers
            .insert(IMG, (image(&["Evil.biz", "5.9.9.1"]), "v1"));
        assert_eq!(house.run().expect("set").rows, 2);
        let wanted = "5.9.9.1,zeus (malware),(static)\r\nevil.biz,zeus (malware),(static)\r\n";
        assert_eq!(house.file(), wanted);
        assert!(house.run().expect("set").unchanged);
        let asked = house.server.asked.lock().expect("lock").clone();
        assert_eq!(
            asked,
            [
                (IMG.to_owned(), None),
                (IMG.to_owned(), Some("v1".to_owned()))
            ],
            "the CSV is not asked for"
        );
        // A file that somebody changed is not the one that the ETag was of.
        fs::write(&house.config.file, "x.biz,i,r\r\ny.biz,i,r\r\n").expect("file");
        assert!(!house.run().expect("set").unchanged);
        assert_eq!(house.file(), wanted);
        house
            .server
            .answers
            .insert(IMG, (image(&["evil.biz", "new.biz"]), "v2"));
        assert!(!house.run().expect("set").unchanged);
        assert!(house.file().contains("new.biz"));
    }

    #[test]
    fn a_server_without_images_gives_its_csv() {
        let mut house = House::new();
        house
            .server
            .answers
            .insert(CSV, (b"evil.biz,a,b\r\n".to_vec(), "c1"));
        assert_eq!(house.run().expect("set").rows, 1);
        assert!(house.run().expect("set").unchanged);
        // A page for whatever is asked is no image and no set.
        house
            .server
            .answers
            .insert(IMG, (b"<html>hello, you, there</html>".to_vec(), "p"));
        house
            .server
            .answers
            .insert(CSV, (b"<html>hello, you, there</html>".to_vec(), "p"));
        let error = house.run().expect_err("a page").to_string();
        assert!(
            error.contains("is a web page") && error.contains(CSV),
            "{error}"
        );
        assert_eq!(house.file(), "evil.biz,a,b\r\n");
    }

    #[test]
    fn a_damaged_image_changes_nothing() {
        let mut house = House::new();
        house
            .server
            .answers
            .insert(IMG, (image(&["evil.biz"]), "v1"));
        house.run().expect("set");
        let mut bytes = image(&["other.biz"]);
        *bytes.last_mut().expect("bytes") ^= 1;
        house.server.answers.insert(IMG, (bytes, "v2"));
        let error = house.run().expect_err("damaged").to_string();
        assert!(error.contains("damaged"), "{error}");
        assert_eq!(house.file(), "evil.biz,zeus (malware),(static)\r\n");
        let left = fs::read_dir(house.root.path()).expect("folder").flatten();
        assert!(
            !left
                .into_iter()
                .any(|file| file.file_name().to_string_lossy().ends_with(".new"))
        );
    }

    #[test]
    fn the_token_goes_with_both_questions_and_its_refusal_is_said() {
        let mut house = House::new();
        house.server.key = Some("Bearer mt_right");
        house.server.answers.insert(
            CSV,
            (b"own.example,mine (custom),(custom)\r\n".to_vec(), "c1"),
        );
        house.config.update_server_token = Some("mt_right".to_owned());
        assert_eq!(house.run().expect("set").rows, 1, "image and CSV are asked");
        assert_eq!(house.server.asked.lock().expect("lock").len(), 2);
        house.config.update_server_token = Some("mt_wrong".to_owned());
        let error = house.run().expect_err("refused").to_string();
        assert!(
            error.contains("401") && error.contains("UPDATE_SERVER_TOKEN"),
            "{error}"
        );
        assert!(!error.contains("mt_wrong"), "{error}");
        assert_eq!(
            house.server.asked.lock().expect("lock").len(),
            3,
            "a refused token is not shown again"
        );
        house.config.update_server_token = None;
        let error = house.run().expect_err("refused").to_string();
        assert!(!error.contains("UPDATE_SERVER_TOKEN"), "{error}");
    }

    #[test]
    fn only_servers_are_asked_for_images() {
        for (url, wanted) in [
            (
                "http://h:8338/trails",
                Some("http://h:8338/api/v1/trails/image"),
            ),
            ("https://h", Some("https://h/api/v1/trails/image")),
            ("https://h/", Some("https://h/api/v1/trails/image")),
            ("https://h/lists/trails.csv", None),
            ("h/trails", None),
        ] {
            assert_eq!(image_address(url).as_deref(), wanted, "{url}");
        }
    }
}
