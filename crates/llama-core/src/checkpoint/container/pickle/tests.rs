//! Pickles that are read, and hostile ones that are refused.

use super::*;

#[test]
fn a_pickle_that_calls_something_is_refused_by_name() {
    // cos\nsystem\n(X\x02\0\0\0lstR.  = os.system("ls")
    let refused = state_dict(b"\x80\x02cos\nsystem\n(X\x02\0\0\0lstR.").expect_err("os.system");
    assert!(refused.reason.contains("os.system"), "{}", refused.reason);
    // The same through STACK_GLOBAL.
    let refused =
        state_dict(b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x02ls\x85R.").expect_err("posix.system");
    assert!(refused.reason.contains("posix.system"), "{}", refused.reason);
}

#[test]
fn deep_nesting_is_refused_or_forgotten_never_recursed_into() {
    let program = |start: &[u8], repeated: &[u8]| {
        let repeats = repeated.repeat(1_000_000);
        [b"\x80\x02", start, &repeats, b"."].concat()
    };
    assert!(state_dict(&program(b")", b"\x85")).is_err(), "tuples in tuples");
    assert!(state_dict(&program(b")", b"}\x86")).is_err(), "tuples that end in an empty dict");
    assert!(state_dict(&program(b"]", b"]a")).is_err(), "lists in lists");
    let dicts_as_keys = [b"}".repeat(500_000), b"Ns".repeat(499_999)].concat();
    assert!(state_dict(&program(&dicts_as_keys, b"")).is_ok(), "dicts as keys are forgotten");
}

#[test]
fn truncation_at_every_byte_is_an_error() {
    let whole = b"\x80\x02}q\x00(K\x07K\x01K\x08J\xff\xff\xff\xffu.";
    assert!(state_dict(whole).expect("whole").is_empty());
    for end in 0..whole.len() - 1 {
        assert!(state_dict(&whole[..end]).is_err(), "cut at {end}");
    }
}

/// A tensor of `axes` sizes under a name, as torch.save writes it.
fn tensor(name: &str, axes: usize) -> Vec<u8> {
    let text = |text: &str| [&[b'X', text.len() as u8, 0, 0, 0], text.as_bytes()].concat();
    let sizes = [b"(".to_vec(), b"K\x01".repeat(axes), b"t".to_vec()].concat();
    let storage =
        [text("storage"), b"ctorch\nFloatStorage\n".to_vec(), text("0"), text("cpu"), b"K\x01tQ".to_vec()]
            .concat();
    let rebuild = b"ctorch._utils\n_rebuild_tensor_v2\n((".to_vec();
    let rest = b"\x89ccollections\nOrderedDict\n)RtR".to_vec();
    [text(name), rebuild, storage, b"K\x00".to_vec(), sizes.clone(), sizes, rest].concat()
}

fn dict(entries: &[Vec<u8>]) -> Vec<u8> {
    [b"\x80\x02}(".to_vec(), entries.concat(), b"u.".to_vec()].concat()
}

#[test]
fn a_name_twice_is_refused() {
    assert_eq!(state_dict(&dict(&[tensor("a", 2), tensor("b", 2)])).expect("sound").len(), 2);
    let refused = state_dict(&dict(&[tensor("a", 2), tensor("b", 1), tensor("a", 1)])).expect_err("twice");
    assert!(refused.reason.contains("`a` is there twice"), "{}", refused.reason);
    let then_a_number = [tensor("a", 2), b"X\x01\0\0\0aK\x01".to_vec()];
    assert!(state_dict(&dict(&then_a_number)).is_err(), "in Python the number is what is left");
}

#[test]
fn what_a_few_bytes_can_ask_for_is_bounded() {
    let refused = state_dict(&dict(&[tensor("a", 100_000)])).expect_err("many axes");
    assert!(refused.reason.contains("100000 axes"), "{}", refused.reason);
    // A memo slot far beyond what was made: 40 MB of slots for five bytes.
    let far = state_dict(b"\x80\x02}r\x00\x00\x10\x00.").expect_err("a slot");
    assert!(far.reason.contains("memo slot 1048576"), "{}", far.reason);
    let many = [b"\x80\x02(".to_vec(), b"N0".repeat(10), b"N".repeat(2_000_001)].concat();
    assert!(state_dict(&many).is_err());
    // Attributes on a number.
    assert!(state_dict(b"\x80\x02K\x01}b.").expect_err("BUILD").reason.contains("attributes"));
    let around = state_dict(b"\x80\x02}X\x0a\0\0\0state_dict}s.").expect_err("a dict in a dict");
    assert!(around.reason.contains("`state_dict`"), "{}", around.reason);
}

proptest::proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..400)) {
        let _ = state_dict(&bytes);
    }
}
