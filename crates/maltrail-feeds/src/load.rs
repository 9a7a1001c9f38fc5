//! The published set and whitelist, as sensor and server load them.
//!
//! The set is the mapped image beside `TRAILS_FILE` when there is a good one of just this file and
//! whitelist. Else the image is made anew from the CSV, which is the truth; where it cannot be written, or
//! is not worth a file, the set lives in memory.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use maltrail_core::config::TrailsConfig;
use maltrail_core::trail::{ImageError, Origin, TrailSet, TrailSetBuilder, Whitelist, csv};

use crate::place::{Lock, folder_of, place};
use crate::{AssembleOptions, Sources, assemble, embedded};

/// Smallest `trails.csv` for which an image is written. One of 2 MB is parsed in about 20 ms.
const WORTH_BYTES: u64 = 2 << 20;

/// Why a list cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot read `{}`: {source}", path.display())]
pub struct LoadError {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

/// Where a set came from.
#[derive(Debug)]
pub enum Origins {
    /// The image was mapped.
    Image,
    /// The image was made anew, for this reason, and mapped.
    Renewed(ImageError),
    /// The CSV was read into memory; why the image could not be written, when one was wanted.
    Csv(Option<io::Error>),
    /// There is no CSV: the lists that are compiled in.
    BuiltIn,
}

/// The image that belongs to this `trails.csv`.
pub fn image_path(csv: &Path) -> PathBuf {
    csv.with_extension("img")
}

/// The set of `TRAILS_FILE`, or of the built-in lists when there is none. An image that has to be made anew
/// is given to `owner`.
///
/// # Errors
/// When the file is there and cannot be read.
pub fn trail_set(
    config: &TrailsConfig,
    whitelist: &Whitelist,
    owner: Option<(u32, u32)>,
) -> Result<(TrailSet, Origins), LoadError> {
    let failed = |source| LoadError {
        path: config.file.clone(),
        source,
    };
    let file = match File::open(&config.file) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let set = built_in(config, whitelist).map_err(failed)?;
            return Ok((set, Origins::BuiltIn));
        }
        Err(error) => return Err(failed(error)),
    };
    let meta = file.metadata().map_err(failed)?;
    let repair = config.repair_truncated;
    let mut trouble = None;
    if meta.is_file() && meta.len() >= WORTH_BYTES {
        let origin = Origin::of(&meta, whitelist, repair);
        let image = image_path(&config.file);
        let why = match TrailSet::open(&image, Some(&origin), repair) {
            Ok(set) => return Ok((set, Origins::Image)),
            Err(why) => why,
        };
        let renewed = write_image(&file, &image, whitelist, &origin, owner)
            .and_then(|_| TrailSet::open(&image, Some(&origin), repair).map_err(io::Error::other));
        match renewed {
            Ok(set) => return Ok((set, Origins::Renewed(why))),
            Err(error) => trouble = Some(error),
        }
    }
    // The first try may have read a part.
    let file = if trouble.is_some() {
        File::open(&config.file).map_err(failed)?
    } else {
        file
    };
    let set = TrailSet::from_csv(file, whitelist.clone(), repair).map_err(failed)?;
    Ok((set, Origins::Csv(trouble)))
}

/// Makes the image of the present `TRAILS_FILE` unless it is there, so that nobody who starts has to; its
/// size in bytes, 0 when the file is too small to be worth one.
///
/// # Errors
/// When the file cannot be read or the image not be written; a former image is then stale and harmless.
pub fn renew_image(
    config: &TrailsConfig,
    whitelist: &Whitelist,
    owner: Option<(u32, u32)>,
) -> io::Result<u64> {
    let _lock = Lock::take(folder_of(&config.file)).map_err(|(_, error)| error)?;
    renew(config, whitelist, owner)
}

/// [`renew_image`] for who has the lock.
pub(crate) fn renew(
    config: &TrailsConfig,
    whitelist: &Whitelist,
    owner: Option<(u32, u32)>,
) -> io::Result<u64> {
    let file = File::open(&config.file)?;
    let meta = file.metadata()?;
    if meta.len() < WORTH_BYTES {
        return Ok(0);
    }
    let origin = Origin::of(&meta, whitelist, config.repair_truncated);
    let image = image_path(&config.file);
    match TrailSet::open(&image, Some(&origin), config.repair_truncated) {
        Ok(set) => Ok(set.size_bytes() as u64),
        Err(_) => write_image(&file, &image, whitelist, &origin, owner),
    }
}

fn write_image(
    csv: &File,
    image: &Path,
    whitelist: &Whitelist,
    origin: &Origin,
    owner: Option<(u32, u32)>,
) -> io::Result<u64> {
    let mut builder = TrailSetBuilder::new(whitelist.clone());
    let counts = csv::read(csv, |key, info, reference| {
        builder.push(key, info, reference)
    })?;
    builder.count_malformed(counts.malformed);
    place(image, owner, |file| builder.write(file, origin))
}

/// The set of the built-in lists.
fn built_in(config: &TrailsConfig, whitelist: &Whitelist) -> io::Result<TrailSet> {
    let options = AssembleOptions {
        ip_minimum_feeds: config.ip_minimum_feeds,
        ..AssembleOptions::default()
    };
    let sources = Sources {
        collections: vec![embedded::collection()],
        ..Sources::default()
    };
    let (built, _) = assemble(&sources, &options, &mut |_, _| {});
    let mut builder = TrailSetBuilder::new(whitelist.clone());
    for row in built.rows() {
        builder.push(row.key, row.info, row.reference);
    }
    builder
        .finish(config.repair_truncated)
        .map_err(io::Error::other)
}

/// The built-in whitelist, those beside the trails and in the installation `root`, and the user's.
///
/// # Errors
/// When one of them cannot be read.
pub fn whitelist(config: &TrailsConfig, root: &Path) -> Result<Whitelist, LoadError> {
    let mut texts = vec![embedded::collection().data("whitelist.txt").into_owned()];
    let mut paths = places(config, root, "whitelist.txt");
    paths.retain(|path| path.is_file());
    paths.extend(config.user_whitelist.clone());
    for path in paths {
        match fs::read(&path) {
            Ok(bytes) => texts.push(String::from_utf8_lossy(&bytes).into_owned()),
            Err(source) => return Err(LoadError { path, source }),
        }
    }
    Ok(Whitelist::parse(texts.iter().map(String::as_str)))
}

/// Where a list of this name may be: beside the trails and in the installation `root`.
pub fn places(config: &TrailsConfig, root: &Path, name: &str) -> Vec<PathBuf> {
    let beside = config.file.parent().unwrap_or_else(|| Path::new("."));
    let mut paths = vec![beside.join("data").join(name), root.join("data").join(name)];
    paths.dedup();
    paths
}

#[cfg(test)]
mod tests {
    use maltrail_core::config::{Config, Environment};

    use super::*;

    struct House {
        root: tempfile::TempDir,
        config: TrailsConfig,
    }

    impl House {
        fn new(rows: usize) -> Self {
            let root = tempfile::tempdir().expect("folder");
            let text = format!("TRAILS_FILE {}/trails.csv\n", root.path().display());
            let (config, _) = Config::parse(&text, "f", root.path(), &Environment::default())
                .expect("configuration");
            let house = Self {
                root,
                config: config.trails,
            };
            house.put(rows);
            house
        }

        /// As an updater puts it.
        fn put(&self, rows: usize) {
            let text: String = (0..rows)
                .map(|row| format!("name{row}.example.biz,a label of some length,(static)\r\n"))
                .collect();
            let written = place(&self.config.file, None, |mut file| {
                io::Write::write_all(&mut file, text.as_bytes())
            });
            written.expect("trails");
        }

        fn load(&self) -> (TrailSet, Origins) {
            trail_set(&self.config, &Whitelist::default(), None).expect("set")
        }

        fn image(&self) -> PathBuf {
            image_path(&self.config.file)
        }
    }

    const MANY: usize = 50_000;

    #[test]
    fn an_image_is_made_once_and_made_anew_for_another_set() {
        let house = House::new(MANY);
        let (set, from) = house.load();
        assert!(
            matches!(
                from,
                Origins::Renewed(ImageError::Unreadable(io::ErrorKind::NotFound))
            ),
            "{from:?}"
        );
        assert_eq!(set.len(), MANY);
        assert!(matches!(house.load().1, Origins::Image));
        house.put(MANY + 1);
        let (newer, from) = house.load();
        assert!(
            matches!(from, Origins::Renewed(ImageError::Stale)),
            "{from:?}"
        );
        assert_eq!(newer.len(), MANY + 1);
        // The first one is still whole: its file was replaced, not rewritten.
        assert_eq!((set.len(), set.rows().count()), (MANY, MANY));
    }

    #[test]
    fn a_damaged_image_is_never_used() {
        let house = House::new(MANY);
        house.load();
        let mut bytes = fs::read(house.image()).expect("image");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(house.image(), &bytes).expect("image");
        let (set, from) = house.load();
        assert!(
            matches!(from, Origins::Renewed(ImageError::Damaged)),
            "{from:?}"
        );
        assert_eq!(set.len(), MANY);
        fs::write(house.image(), &bytes[..middle]).expect("image");
        assert!(matches!(
            house.load().1,
            Origins::Renewed(ImageError::Damaged)
        ));
        assert!(matches!(house.load().1, Origins::Image));
    }

    #[test]
    fn small_sets_and_folders_that_cannot_be_written_need_no_image() {
        let house = House::new(3);
        assert!(matches!(house.load().1, Origins::Csv(None)));
        assert_eq!(
            renew_image(&house.config, &Whitelist::default(), None).expect("none"),
            0
        );
        assert!(!house.image().exists());
        let house = House::new(MANY);
        // Even root cannot rename a file over a folder.
        fs::create_dir(house.image()).expect("folder");
        let (set, from) = house.load();
        assert!(matches!(from, Origins::Csv(Some(_))), "{from:?}");
        assert_eq!(set.len(), MANY);
    }

    #[test]
    fn without_a_file_the_built_in_lists_are_used() {
        let house = House::new(3);
        fs::remove_file(&house.config.file).expect("removed");
        let (set, from) = house.load();
        assert!(matches!(from, Origins::BuiltIn) && set.len() > 50);
    }

    #[test]
    fn every_whitelist_counts_and_a_missing_one_of_the_user_is_an_error() {
        let mut house = House::new(3);
        let root = house.root.path();
        fs::create_dir_all(root.join("data")).expect("folder");
        fs::write(root.join("data/whitelist.txt"), "beside.biz\n").expect("list");
        house.config.user_whitelist = Some(root.join("own.txt"));
        let error = whitelist(&house.config, root).expect_err("missing");
        assert!(error.to_string().contains("own.txt"), "{error}");
        fs::write(root.join("own.txt"), "own.biz\n").expect("list");
        let list = whitelist(&house.config, root).expect("lists");
        assert!(list.covers_name("beside.biz") && list.covers_name("own.biz"));
    }
}
