//! Data sets by name.

use std::path::PathBuf;

use hub::{DataName, Error};
use test_material::hub::Repository;

use crate::support::{Place, bytes, said};

const CONVERSION: &str = "refs/convert/parquet";

fn glue() -> Place {
    let place = Place::new();
    let files = [
        "rte/train/0001.parquet",
        "rte/train/0000.parquet",
        "rte/validation/0000.parquet",
        "cola/train/0000.parquet",
    ];
    let files = files.iter().enumerate().map(|(seed, path)| (*path, bytes(1500, seed as u32)));
    place.server.put("datasets/org/glue", Repository::at(CONVERSION, files));
    place
}

fn data(place: &Place, name: &str) -> Result<Vec<PathBuf>, Error> {
    place.hub().data(&name.parse::<DataName>().unwrap(), &mut ())
}

#[test]
fn the_parts_of_a_split_in_order() {
    let place = glue();
    let parts = data(&place, "org/glue/rte:train").unwrap();
    assert!(parts[0].ends_with("rte/train/0000.parquet") && parts[1].ends_with("rte/train/0001.parquet"));
    assert_eq!(fs_err::read(&parts[0]).unwrap(), bytes(1500, 1));
    assert_eq!(parts.len(), 2);
    assert!(!place.asked().iter().any(|path| path.contains("validation") || path.contains("cola")));

    assert_eq!(data(&place, "org/glue/rte:train").unwrap(), parts);
    let offline = place.offline();
    assert_eq!(offline.data(&"org/glue/rte:train".parse().unwrap(), &mut ()).unwrap(), parts);
    let missing = said(offline.data(&"org/glue/cola".parse().unwrap(), &mut ()));
    assert!(missing.contains("in part: `cola/train/0000.parquet`"), "{missing}");
    // What there is, is known without asking.
    let which = said(data(&place, "org/glue/rte"));
    assert!(which.contains("org/glue/rte:train, org/glue/rte:validation"), "{which}");
    assert!(place.asked().is_empty());
}

#[test]
fn a_data_set_that_is_not_converted() {
    let place = Place::new();
    place.server.put("datasets/org/own", Repository::new([("data.csv", vec![1])]));
    let none = said(data(&place, "org/own"));
    assert!(none.starts_with("the data set org/own has no Parquet conversion"), "{none}");
    assert!(said(data(&place, "org/none")).contains("has no data set org/none"));
}

/// As `datasets` for Python leaves it in the cache.
#[test]
fn a_data_sets_own_parquet_files_in_the_cache() {
    let place = Place::new();
    let commit = "a".repeat(40);
    let root = place.cache().join("datasets--org--boolq");
    let folder = root.join("snapshots").join(&commit).join("data");
    fs_err::create_dir_all(&folder).unwrap();
    fs_err::create_dir_all(root.join("refs")).unwrap();
    fs_err::write(root.join("refs/main"), &commit).unwrap();
    let file = folder.join("validation-00000-of-00001.parquet");
    fs_err::write(&file, b"PAR1").unwrap();
    let offline = place.offline();
    assert_eq!(offline.data(&"org/boolq:validation".parse().unwrap(), &mut ()).unwrap(), [file]);
    assert!(said(offline.data(&"org/boolq:train".parse().unwrap(), &mut ())).contains("not in the cache"));
}
