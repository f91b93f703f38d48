//! Prompts that stand in a store with both labels are told of wherever its rows are read.

use ccs_trainer::Source as _;
use ccs_trainer::StoreSource;

use crate::store::Stored;

#[test]
fn prompts_with_both_labels_are_noted() {
    let folder = tempfile::tempdir().unwrap();
    // Every row of a planted store has the same two prompts.
    Stored::default().write(folder.path());
    let source = StoreSource::open(folder.path()).unwrap();
    let note = source.rows().both_labels.clone().unwrap();
    assert!(
        note.starts_with("1 of the prompts stand in the store with both labels, the first with idx "),
        "{note}"
    );
}
