//! What NCCL is asked for, by a library that exchanges nothing and writes it down (`nccl/fake.c`, with the declarations of
//! `nccl.h`): no GPU is needed for that.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic)] // a test that cannot go on fails

use std::ffi::{CStr, CString, c_char, c_int};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use libloading::os::unix::Library;
use tch::{Device, Kind, Tensor};
use torch_runtime::dist::{Communicator, Error, Launcher, Nccl, Store, World};
use torch_runtime::tch;

const LONG: Duration = Duration::from_mins(1);

/// The library, one test at a time.
struct Fake {
    library: Library,
    path: PathBuf,
    _folder: tempfile::TempDir,
    _alone: MutexGuard<'static, ()>,
}

impl Fake {
    fn new() -> Self {
        static ALONE: Mutex<()> = Mutex::new(());
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("libfake.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/nccl/fake.c");
        let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
        let built = Command::new(compiler).args(["-shared", "-fPIC", "-o"]).arg(&path).arg(source).status();
        assert!(built.unwrap().success());
        #[allow(unsafe_code)]
        // SAFETY: it has no initializers.
        let library = unsafe { Library::new(&path) }.unwrap();
        Self { library, path, _folder: folder, _alone: alone }
    }

    fn nccl(&self) -> Arc<Nccl> {
        Nccl::load_from(&[self.path.as_path()]).unwrap()
    }

    /// What was asked for since, without which device.
    fn said(&self) -> Vec<String> {
        #[allow(unsafe_code)]
        // SAFETY: declared in fake.c; the text is copied before anything else is asked.
        let said = unsafe {
            let said = self.library.get::<unsafe extern "C" fn() -> *const c_char>(b"fake_said").unwrap();
            CStr::from_ptr(said()).to_string_lossy().into_owned()
        };
        self.forget();
        said.lines()
            .filter(|line| !line.starts_with("device"))
            .map(|line| line.trim_end().to_owned())
            .collect()
    }

    fn forget(&self) {
        #[allow(unsafe_code)]
        // SAFETY: declared in fake.c.
        unsafe {
            self.library.get::<unsafe extern "C" fn()>(b"fake_forget").unwrap()();
        }
    }

    fn fail(&self, name: &str, code: c_int) {
        let name = CString::new(name).unwrap();
        #[allow(unsafe_code)]
        // SAFETY: declared in fake.c, which copies the name.
        unsafe {
            let fail = self.library.get::<unsafe extern "C" fn(*const c_char, c_int)>(b"fake_fail").unwrap();
            fail(name.as_ptr(), code);
        }
    }

    fn pending(&self, times: c_int, error: c_int) {
        #[allow(unsafe_code)]
        // SAFETY: declared in fake.c.
        unsafe {
            self.library.get::<unsafe extern "C" fn(c_int, c_int)>(b"fake_pending").unwrap()(times, error);
        }
    }
}

/// Runs two threads as ranks.
fn as_ranks(work: &(dyn Fn(&Store) + Sync)) {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let rank = |rank: usize| {
        let value = |name: &str| match name {
            "RANK" => Some(rank.to_string()),
            "WORLD_SIZE" => Some("2".to_owned()),
            "MASTER_ADDR" => Some("127.0.0.1".to_owned()),
            "MASTER_PORT" => Some(port.to_string()),
            _ => None,
        };
        let world = World::from_variables(Launcher::Environment, &value).unwrap().unwrap();
        let store = Store::join(&world, LONG).unwrap();
        work(&store);
        store.add("gone", 1).unwrap();
        while store.add("gone", 0).unwrap() < 2 && rank == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        // The other one has had its answer.
        std::thread::sleep(Duration::from_millis(if rank == 0 { 50 } else { 0 }));
    };
    std::thread::scope(|scope| {
        let other = std::thread::Builder::new().spawn_scoped(scope, || rank(1)).unwrap();
        rank(0);
        other.join().unwrap();
    });
}

fn of_rank(said: &[String], rank: usize) -> Vec<&str> {
    let own = format!("rank={rank} ");
    said.iter().filter(|line| format!("{line} ").contains(&own)).map(String::as_str).collect()
}

#[test]
fn nccl_is_given_what_its_header_asks_for() {
    let fake = Fake::new();
    let nccl = fake.nccl();
    assert_eq!(nccl.version().unwrap(), "2.27.5");
    as_ranks(&|store| {
        let rank = store.world().rank;
        let all = Communicator::new(&nccl, store, "all", rank, LONG).unwrap();
        let numbers = Tensor::f_full([2, 3], rank as f64 + 4.0, (Kind::Float, Device::Cpu)).unwrap();
        all.sum(&numbers).unwrap();
        all.broadcast(&Tensor::f_zeros([5], (Kind::BFloat16, Device::Cpu)).unwrap(), 1).unwrap();
        let gathered = all.all_gather(&numbers).unwrap();
        assert_eq!((gathered.size(), gathered.kind()), (vec![2, 2, 3], Kind::Float));
        let twice = Tensor::f_stack(&[&numbers, &numbers], 0).unwrap();
        assert_eq!(gathered, twice, "there is room for every rank's");
        let tokens = Tensor::f_zeros([7], (Kind::Int64, Device::Cpu)).unwrap();
        if rank == 0 {
            all.send(&tokens, 1).unwrap();
        } else {
            all.receive(&tokens, 0).unwrap();
        }
        let half = Tensor::f_zeros([1], (Kind::Half, Device::Cpu)).unwrap();
        all.exchange((&tokens, 1 - rank), (&half, 1 - rank)).unwrap();
    });
    let said = fake.said();
    assert_eq!(said.iter().filter(|line| *line == "id").count(), 1, "one id, of rank 0: {said:?}");
    for rank in 0..2 {
        let first = rank + 4;
        let peer = 1 - rank;
        let passed = if rank == 0 { "send" } else { "receive" };
        let expected = [
            format!("init rank={rank} size=2 id=1"),
            format!("all_reduce rank={rank} first={first} in_place=1 count=6 type=7 op=0 stream=(nil)"),
            format!("broadcast rank={rank} in_place=1 count=5 type=9 root=1 stream=(nil)"),
            format!("all_gather rank={rank} count=6 type=7 stream=(nil)"),
            format!("{passed} rank={rank} count=7 type=4 peer={peer} stream=(nil)"),
            format!("send rank={rank} count=7 type=4 peer={peer} stream=(nil)"),
            format!("receive rank={rank} count=1 type=6 peer={peer} stream=(nil)"),
            format!("destroy rank={rank}"),
        ];
        assert_eq!(of_rank(&said, rank), expected);
    }
    assert_eq!(said.iter().filter(|line| line.starts_with("group_")).count(), 4);
}

#[test]
fn what_nccl_and_cuda_refuse_is_an_error_with_their_words() {
    let fake = Fake::new();
    let nccl = fake.nccl();
    // One rank is enough: the library waits for nobody.
    as_ranks(&|store| {
        let rank = store.world().rank;
        let numbers = Tensor::f_ones([4], (Kind::Float, Device::Cpu)).unwrap();
        let meet = |name: &str, timeout| Communicator::new(&nccl, store, name, 0, timeout);
        if rank == 1 {
            return;
        }
        fake.fail("device", 101);
        let error = meet("device", LONG).unwrap_err().to_string();
        assert!(error.contains("CUDA says: invalid device ordinal"), "{error}");
        fake.forget();
        fake.fail("init", 2);
        let error = meet("init", LONG).unwrap_err().to_string();
        assert!(error.starts_with("`meet` on rank 0 failed: NCCL says: system error"), "{error}");
        fake.forget();

        let all = meet("sum", LONG).unwrap();
        fake.fail("all_reduce", 6);
        let error = all.sum(&numbers).unwrap_err().to_string();
        assert!(error.ends_with("NCCL says: remote process exited: socket closed by peer"), "{error}");
        // It was aborted: nothing is asked of it any more, and it is not freed twice.
        let error = all.sum(&numbers).unwrap_err().to_string();
        assert!(error.contains("an earlier exchange failed"), "{error}");
        drop(all);
        assert_eq!(of_rank(&fake.said(), 0).last(), Some(&"abort rank=0"));

        // An error that comes while the exchange is under way, and one that never ends.
        let all = meet("late", LONG).unwrap();
        fake.pending(3, 0);
        all.sum(&numbers).unwrap();
        fake.pending(-1, 6);
        let error = all.sum(&numbers).unwrap_err().to_string();
        assert!(error.contains("remote process exited"), "{error}");
        fake.forget();
        let all = meet("stuck", Duration::from_millis(20)).unwrap();
        fake.pending(-1, 0);
        let error = all.sum(&numbers).unwrap_err();
        assert!(error.to_string().ends_with("not done in 0.02 s") && error.hint().is_some(), "{error}");
        fake.forget();

        let all = meet("after", LONG).unwrap();
        let apart = Tensor::f_zeros([4, 4], (Kind::Float, Device::Cpu)).unwrap().f_tr().unwrap();
        let complex = Tensor::f_zeros([2], (Kind::ComplexFloat, Device::Cpu)).unwrap();
        for odd in [apart, complex] {
            assert!(matches!(all.sum(&odd), Err(Error::Layout { operation: "sum" })));
        }
        all.sum(&numbers).unwrap();
    });
}

#[test]
fn a_library_that_is_not_there_is_one_clear_error() {
    let error = Nccl::load_from(&[Path::new("/nowhere/libnccl.so.2")]).unwrap_err();
    assert!(error.to_string().starts_with("NCCL is not there: /nowhere/libnccl.so.2"), "{error}");
    assert!(error.hint().is_some());
    // A library without NCCL's functions.
    let error = Nccl::load_from(&[Path::new("libc.so.6")]).unwrap_err();
    assert_eq!(error.to_string(), "NCCL is not there: no library in memory has `ncclGetVersion`");
}

/// NCCL's own library, without a GPU, beside a CUDA runtime that does nothing.
#[test]
#[ignore = "needs NCCL's library, which NCCL_LIBRARY names"]
fn nccl_itself_says_what_it_is_and_why_it_cannot_meet_without_a_gpu() {
    let fake = Fake::new();
    let library = std::env::var_os("NCCL_LIBRARY").expect("NCCL_LIBRARY");
    let nccl = Nccl::load_from(&[Path::new(&library), fake.path.as_path()]).unwrap();
    assert!(nccl.version().unwrap().starts_with("2."));
    as_ranks(&|store| {
        let error = Communicator::new(&nccl, store, "all", 0, LONG).unwrap_err().to_string();
        assert!(error.contains("NCCL says: unhandled cuda error"), "{error}");
    });
}
