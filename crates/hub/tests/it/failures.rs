//! What goes wrong between here and the hub.

use std::time::{Duration, Instant};

use hub::{Error, Hub, Settings};
use test_material::hub::{Fault, git, sha256};

use crate::support::{Place, Watcher, contents, inside, llama, name, said};

const LARGEST: &str = "model-00002-of-00002.safetensors";

fn elsewhere(file: &str) -> String {
    format!("/elsewhere/{}", sha256(&llama().files[file]))
}

/// The name of a file's blob.
fn blob_of(file: &str) -> String {
    let bytes = &llama().files[file];
    if bytes.len() < test_material::hub::LARGE { git(bytes) } else { sha256(bytes) }
}

fn is_right(place: &Place) {
    let files = contents(&place.llama().unwrap());
    assert!(files.len() == 6 && files.iter().all(|(path, bytes)| llama().files[path] == *bytes));
    let left = inside(&place.root()).into_keys().find(|path| path.ends_with(".incomplete"));
    assert_eq!(left, None);
}

/// The ranges that were asked for of the largest file.
fn ranges(place: &Place) -> Vec<String> {
    let requests = place.server.requests();
    let of_largest = requests.iter().filter(|request| request.path == elsewhere(LARGEST));
    of_largest.map(|request| request.headers.get("range").cloned().unwrap_or_default()).collect()
}

#[test]
fn cut_connections_are_continued() {
    let place = Place::with_llama();
    place.server.fault(&elsewhere(LARGEST), 1, Fault::Cut(300_000));
    place.server.fault(&elsewhere(LARGEST), 1, Fault::Cut(100_000));
    place.server.fault(&elsewhere(LARGEST), 1, Fault::Silence);
    let mut watcher = Watcher::default();
    place.hub().model(&name("org/llama"), &mut watcher).unwrap();
    assert_eq!(ranges(&place), ["", "bytes=300000-", "bytes=400000-", "bytes=400000-"]);
    assert!(watcher.notices.iter().any(|notice| notice.contains("broke off")), "{:?}", watcher.notices);
    assert_eq!(watcher.last.0, watcher.last.1);
    is_right(&place);
}

#[test]
fn a_connection_that_brings_nothing_is_given_up() {
    let place = Place::with_llama();
    place.server.fault(&elsewhere(LARGEST), 1, Fault::Cut(1000));
    place.server.fault(&elsewhere(LARGEST), 99, Fault::Cut(0));
    let cut = said(place.llama());
    assert!(cut.contains("broke off at 1000 of 700000 bytes") && cut.contains("it continues there"), "{cut}");
    place.server.fault("nothing", 0, Fault::Silence);
}

#[test]
fn a_stopped_download_is_continued() {
    let place = Place::with_llama();
    // A long pause, in which the stop comes.
    place.server.fault(&elsewhere(LARGEST), 1, Fault::Cut(300_000));
    let hub = Hub::new(Settings { pause: Duration::from_mins(1), ..place.settings() });
    let mut stop = Watcher { stop_at: Some(300_000), ..Watcher::default() };
    let (begun, stopped) = (Instant::now(), hub.model(&name("org/llama"), &mut stop));
    assert!(matches!(stopped, Err(Error::Stopped)), "{stopped:?}");
    assert!(begun.elapsed() < Duration::from_secs(20));
    place.asked();
    is_right(&place);
    let ranges = ranges(&place);
    assert_eq!(ranges, ["bytes=300000-"]);
}

#[test]
fn servers_without_ranges_send_all_of_it() {
    let place = Place::with_llama();
    place.server.fault(&elsewhere(LARGEST), 1, Fault::Cut(300_000));
    place.server.fault(&elsewhere(LARGEST), 1, Fault::NoRanges);
    let mut watcher = Watcher::default();
    place.hub().model(&name("org/llama"), &mut watcher).unwrap();
    assert_eq!(watcher.last.0, watcher.last.1, "what came twice counts once");
    is_right(&place);
}

#[test]
fn what_an_interruption_left_may_be_damaged() {
    let hash = sha256(&llama().files[LARGEST]);
    let right = &llama().files[LARGEST];
    let wrong = [&[right[0] ^ 1], &right[1..]].concat();
    let longer = [right.as_slice(), b"more"].concat();
    for (left, notice) in
        [(&wrong[..9000], true), (wrong.as_slice(), true), (longer.as_slice(), false), (right, false)]
    {
        let place = Place::with_llama();
        fs_err::create_dir_all(place.root().join("blobs")).unwrap();
        fs_err::write(place.root().join(format!("blobs/{hash}.incomplete")), left).unwrap();
        let mut watcher = Watcher::default();
        place.hub().model(&name("org/llama"), &mut watcher).unwrap();
        assert_eq!(
            watcher.notices.iter().any(|notice| notice.contains("is damaged")),
            notice,
            "{}",
            left.len()
        );
        assert_eq!(watcher.last.0, watcher.last.1);
        is_right(&place);
    }
}

#[test]
fn a_wrong_hash_is_never_kept() {
    for file in [LARGEST, "config.json"] {
        let place = Place::with_llama();
        let part = if file == LARGEST { elsewhere(LARGEST) } else { "/config.json".to_owned() };
        place.server.fault(&part, 1, Fault::Corrupt);
        let wrong = said(place.llama());
        assert!(wrong.starts_with(&format!("`{file}` arrived with the hash ")), "{wrong}");
        let kept = inside(&place.root());
        let hash = blob_of(file);
        assert!(!kept.keys().any(|path| path.ends_with(file) || path.contains(&hash)), "{:?}", kept.keys());
        is_right(&place);
    }
}

#[test]
fn a_busy_hub_is_waited_for() {
    let place = Place::with_llama();
    let after = |seconds: &str| Fault::Status(429, vec![("retry-after", seconds.to_owned())]);
    place.server.fault("/api/", 1, after("1"));
    place.server.fault("/api/", 1, Fault::Status(503, vec![]));
    place.server.fault("/resolve/", 1, after("0"));
    place.server.fault(&elsewhere(LARGEST), 1, Fault::Status(500, vec![]));
    let (begun, mut watcher) = (Instant::now(), Watcher::default());
    place.hub().model(&name("org/llama"), &mut watcher).unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(1), "the hub asked for a second");
    assert!(
        watcher.notices[0].starts_with("the hub answered 429; trying again in 1 s"),
        "{:?}",
        watcher.notices
    );
    is_right(&place);

    let place = Place::with_llama();
    place.server.fault("/api/", 1, after("86400"));
    let busy = said(place.llama());
    assert!(busy.contains("asks to wait 86400 seconds") && busy.contains("HF_TOKEN"), "{busy}");
    place.server.fault("/api/", 99, Fault::Status(502, vec![]));
    let down = said(place.llama());
    assert!(down.contains("answered 502") && down.contains("try again later"), "{down}");
}

#[test]
fn a_gated_model_says_what_to_do() {
    let place = Place::new();
    let mut repository = llama();
    repository.gated_for = Some("hf_granted".to_owned());
    place.server.put("models/org/llama", repository);
    let page = format!("{}/org/llama", place.server.endpoint());

    let refused = said(place.llama());
    assert!(refused.starts_with("the model org/llama is gated"), "{refused}");
    assert!(refused.contains(&format!("accept the license at {page}, make a token")), "{refused}");
    let refused = said(place.as_user("hf_other").model(&name("org/llama"), &mut ()));
    assert!(
        refused.contains(&format!("accept the license at {page} with the account of the token")),
        "{refused}"
    );
    place.as_user("hf_granted").model(&name("org/llama"), &mut ()).unwrap();
    // From here on it is in the cache.
    is_right(&place);
}

#[test]
fn what_is_not_there_is_told_apart() {
    let place = Place::with_llama();
    let hub = place.hub();
    let missing = said(hub.model(&name("org/lama"), &mut ()));
    assert!(
        missing.contains("has no model org/lama |") && missing.contains("for a private one"),
        "{missing}"
    );
    let missing = said(place.as_user("hf_x").model(&name("org/lama"), &mut ()));
    assert!(missing.contains("has no model org/lama for this token"), "{missing}");
    let missing = said(hub.model(&name("org/llama@none"), &mut ()));
    assert!(missing.contains("no revision `none`"), "{missing}");
    let missing = said(hub.model(&name("org/llama:config.yaml"), &mut ()));
    assert!(
        missing.contains("no file `config.yaml`") && missing.contains("did you mean `config.json`"),
        "{missing}"
    );

    place.server.fault("/api/", 1, Fault::Status(401, vec![]));
    let token = said(place.as_user("hf_old").model(&name("org/llama"), &mut ()));
    assert!(token.starts_with("the hub does not accept the token"), "{token}");
    place.server.fault("/api/", 1, Fault::Status(403, vec![("x-error-message", "Not yours.".to_owned())]));
    let forbidden = said(hub.model(&name("org/llama"), &mut ()));
    assert!(
        forbidden.starts_with("the hub forbids access to the model org/llama: Not yours."),
        "{forbidden}"
    );
}

#[test]
fn nonsense_is_no_hub() {
    let place = Place::with_llama();
    let bodies: [&[u8]; 5] = [
        b"<html>log in</html>",
        b"",
        b"[]",
        br#"{"sha":"main","siblings":[]}"#,
        br#"{"sha":"0123456789abcdef0123456789abcdef01234567","siblings":[{"rfilename":"../../.bashrc"}]}"#,
    ];
    for body in bodies {
        place.server.fault("/api/", 1, Fault::Body(body.to_vec()));
        let nonsense = said(place.llama());
        assert!(
            nonsense.contains("is no hub, or is none today") && nonsense.contains("HF_ENDPOINT"),
            "{nonsense}"
        );
    }
    assert!(!place.cache().exists(), "nothing was written");
    // A page in the place of a file.
    place.server.fault("/tokenizer_config.json", 9, Fault::Body(b"<html>".to_vec()));
    let nonsense = said(place.llama());
    assert!(nonsense.contains("broke off") || nonsense.contains("arrived with the hash"), "{nonsense}");
    let empty = Place::new();
    empty.server.put("models/org/llama", test_material::hub::Repository::new([("a.onnx", vec![1])]));
    let none = said(empty.llama());
    assert!(none.contains("no model that can be read: its one file is `a.onnx`"), "{none}");
    assert!(!empty.root().join("snapshots").exists());
}

#[test]
fn without_a_network_it_is_said_at_once() {
    let place = Place::with_llama();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for endpoint in [format!("http://{closed}"), "http://hub.invalid".to_owned()] {
        let hub = Hub::new(Settings { endpoint: endpoint.clone(), ..place.settings() });
        let begun = Instant::now();
        let unreachable = said(hub.model(&name("org/llama"), &mut ()));
        assert!(
            unreachable.starts_with(&endpoint) && unreachable.contains("cannot be reached"),
            "{unreachable}"
        );
        assert!(begun.elapsed() < Duration::from_secs(20));
        // As a path, it is said that there is none, too.
        let neither = said(hub.model_at("org/llama".as_ref(), &mut ()));
        assert!(
            neither.starts_with("there is no file or folder `org/llama`, and by that name: http://"),
            "{neither}"
        );
    }
    let offline = said(place.offline().model(&name("org/llama"), &mut ()));
    assert!(offline.contains("not in the cache") && offline.contains("HF_HUB_OFFLINE"), "{offline}");
    assert!(place.asked().is_empty());
}
