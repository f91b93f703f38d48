//! Processes that exchange tensors: this test starts itself as the ranks.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, clippy::print_stdout)] // a test that cannot go on fails

use std::net::TcpListener;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use tch::{Device, Kind, Tensor};
use torch_runtime::dist::{Error, Group, Heartbeat, Launcher, Store, World};
use torch_runtime::tch;

const PATIENCE: Duration = Duration::from_secs(2);
const LONG: Duration = Duration::from_mins(1);

/// A port that nobody has, and that no connection is given before it is used; each call gives another.
fn port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let ports = (0..1000).map(|_| {
        let number =
            NEXT.fetch_add(1, Ordering::Relaxed).wrapping_mul(7).wrapping_add(std::process::id() as u16);
        5_000 + number % 5_000
    });
    let mut free = ports.filter(|port| TcpListener::bind(("0.0.0.0", *port)).is_ok());
    free.next().expect("a port")
}

/// This program as a rank of `size`, at `case`.
fn rank(case: &str, (rank, size): (usize, usize), port: u16) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command
        .args(["--exact", "as_a_rank", "--ignored", "--nocapture"])
        .env("CASE", case)
        .env("OMP_NUM_THREADS", "1");
    for (name, value) in [("RANK", rank), ("WORLD_SIZE", size), ("MASTER_PORT", port.into())] {
        command.env(name, value.to_string());
    }
    command.env("MASTER_ADDR", "127.0.0.1").stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn start(case: &str, of: (usize, usize), port: u16) -> Child {
    rank(case, of, port).spawn().expect("started")
}

/// All ranks of a case to their ends, which must be good ones, with nothing on stderr.
fn all(case: &str, size: usize) {
    let port = port();
    let ranks: Vec<Child> = (0..size).map(|own| start(case, (own, size), port)).collect();
    for (own, child) in ranks.into_iter().enumerate() {
        let output = child.wait_with_output().expect("ended");
        assert!(output.status.success(), "rank {own} of {case}: {}", text(&output));
        assert!(output.stderr.is_empty(), "rank {own} of {case} wrote: {}", text(&output));
    }
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
#[ignore = "what the other tests start"]
fn as_a_rank() {
    let case = std::env::var("CASE").expect("started by a test");
    let world = World::from_env(Launcher::Environment).expect("variables").expect("several");
    match case.as_str() {
        "exchange" => exchange(&world),
        "mismatch" => mismatch(&world),
        "claims" => claims(&world),
        "short" => short(&world),
        "twice" => twice(&world),
        "lost" => lose(&world),
        other => panic!("no case {other}"),
    }
}

/// Numbers that tell rank and place.
fn numbers(rank: usize, kind: Kind) -> Tensor {
    Tensor::arange(6, (Kind::Double, Device::Cpu))
        .view([2, 3])
        .f_add_scalar(rank as f64)
        .expect("sum")
        .to_kind(kind)
}

fn exchange(world: &World) {
    let store = Store::join(world, LONG).expect("joined");
    let group = Group::new(&store, world, "a", LONG).expect("met");
    let (own, size) = (world.rank, world.size);
    for kind in [Kind::Float, Kind::BFloat16, Kind::Half, Kind::Double, Kind::Int64] {
        let sum = numbers(own, kind);
        group.sum(&sum).expect("sum");
        let expected = (0..size).map(|r| numbers(r, kind)).reduce(|a, b| a + b).expect("ranks");
        assert!(sum.equal(&expected), "{kind:?}: {sum:?}"); // small whole numbers are exact in all of these
        let last = numbers(own, kind);
        group.broadcast(&last, size - 1).expect("broadcast");
        assert!(last.equal(&numbers(size - 1, kind)));
        let gathered = group.gather(&numbers(own, kind)).expect("gather");
        assert_eq!(gathered.size(), [size as i64, 2, 3]);
        assert!((0..size).all(|r| gathered.get(r as i64).equal(&numbers(r, kind))));
        // Around the ring; even ranks send first.
        let (next, before) = ((own + 1) % size, (own + size - 1) % size);
        let received = if own % 2 == 0 {
            group.send(&numbers(own, kind), next, 7).expect("send");
            group.receive(before, 7).expect("receive")
        } else {
            let received = group.receive(before, 7).expect("receive");
            group.send(&numbers(own, kind), next, 7).expect("send");
            received
        };
        assert!(received.equal(&numbers(before, kind)) && received.kind() == kind);
    }
    let empty = Tensor::zeros([0, 3], (Kind::Float, Device::Cpu));
    assert_eq!(group.gather(&empty).expect("nothing").size(), [size as i64, 0, 3]);
    group.barrier().expect("together");
}

fn mismatch(world: &World) {
    let store = Store::join(world, LONG).expect("joined");
    let group = Group::new(&store, world, "a", LONG).expect("met");
    let zeros = |shape: &[i64], kind| Tensor::zeros(shape, (kind, Device::Cpu));
    // What c10d would add up as if its numbers lay together. The others hear of it, and nobody waits.
    let whole = zeros(&[4, 6], Kind::Float);
    let part = if world.rank == 1 { whole.narrow(1, 0, 3) } else { zeros(&[4, 3], Kind::Float) };
    match group.sum(&part) {
        Err(Error::Layout { .. }) => assert_eq!(world.rank, 1),
        Err(Error::Mismatch { other: 1, expected, .. }) => assert!(expected.contains("cannot be sent")),
        other => panic!("{other:?}"),
    }
    // Another shape, type, or operation.
    for (own, others) in [
        (zeros(&[2, 3], Kind::Float), zeros(&[3, 2], Kind::Float)),
        (zeros(&[2], Kind::Float), zeros(&[4], Kind::BFloat16)),
    ] {
        let error = group.sum(if world.rank == 0 { &own } else { &others }).expect_err("not alike");
        assert!(matches!(error, Error::Mismatch { operation: "sum", .. }), "{error}");
        assert!(error.hint().is_some());
    }
    let same = zeros(&[2], Kind::Float);
    let result = if world.rank == 0 { group.sum(&same) } else { group.gather(&same).map(|_| ()) };
    assert!(matches!(result, Err(Error::Mismatch { .. })), "{result:?}");
    // And the group still works.
    let one = Tensor::ones([3], (Kind::Float, Device::Cpu));
    group.sum(&one).expect("sum");
    assert!(one.equal(&Tensor::full([3], world.size as f64, (Kind::Float, Device::Cpu))));
}

fn claims(world: &World) {
    let store = Store::join(world, LONG).expect("joined");
    let mut own = Vec::new();
    loop {
        let claim = store.add("next", 1).expect("claimed");
        if claim > 200 {
            break;
        }
        own.push(claim as u8);
    }
    store.set(&format!("claims/{}", world.rank), &own).expect("set");
    let mut claimed = Vec::new();
    for rank in 0..world.size {
        claimed.extend(store.wait(&format!("claims/{rank}"), || true).expect("store").expect("there"));
    }
    claimed.sort_unstable();
    assert!(claimed.iter().copied().eq(1..=200), "each once: {claimed:?}");
    assert_eq!(store.get("never set").expect("store"), None);
    let mut looks = 0;
    let waited = store.wait("never set", || {
        looks += 1;
        looks < 3
    });
    assert_eq!(waited.expect("store"), None);
    // Rank 0 serves the store, so it leaves last.
    store.add("done", 1).expect("counted");
    while world.rank == 0 && store.add("done", 0).expect("counted") < world.size as i64 {
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Groups that some ranks leave as soon as they have them, while others are busy.
fn short(world: &World) {
    let store = Store::join(world, LONG).expect("joined");
    for number in 0..40 {
        if world.rank == number % world.size {
            std::thread::sleep(Duration::from_millis(20));
        }
        Group::new(&store, world, &format!("short/{number}"), LONG).expect("met");
    }
    store.add("done", 1).expect("counted");
    while world.rank == 0 && store.add("done", 0).expect("counted") < world.size as i64 {
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Two processes are told that they are rank 1, and nobody is rank 2.
fn twice(world: &World) {
    match Store::join(world, PATIENCE) {
        Err(Error::Twice { rank: 1, .. }) => println!("refused"),
        Err(Error::Missing { missing, .. }) => assert_eq!(missing, [2]),
        // Rank 0, which serves the store, may end first.
        Err(Error::Store { .. }) => assert_eq!(world.rank, 1),
        other => panic!("{other:?}"),
    }
}

/// Rank 1 only beats; rank 0 waits for it in a receive that c10d would not give up for a minute.
fn lose(world: &World) {
    let store = Store::join(world, LONG).expect("joined");
    let group = Group::new(&store, world, "a", LONG).expect("met");
    let _beat = Heartbeat::start(&store, &format!("host-of-{}", world.rank), PATIENCE, |lost| {
        println!("{lost}");
        std::process::exit(75);
    });
    println!("ready");
    if world.rank == 0 {
        let _ = group.receive(1, 1);
        // A connection that broke at once is noticed sooner; who it was says the heartbeat.
    }
    std::thread::sleep(LONG);
}

#[test]
fn tensors_of_every_type_travel() {
    all("exchange", 2);
    all("exchange", 3);
}

#[test]
fn what_does_not_fit_together_is_an_error_on_all_before_anything_is_sent() {
    all("mismatch", 3);
}

#[test]
fn no_two_ranks_claim_the_same() {
    all("claims", 3);
}

#[test]
fn a_rank_may_leave_a_group_as_soon_as_it_has_it() {
    all("short", 4);
}

#[test]
fn a_second_process_of_a_rank_is_refused() {
    let port = port();
    let ranks: Vec<Child> = [0, 1, 1].map(|own| start("twice", (own, 3), port)).into();
    let said: Vec<String> = ranks
        .into_iter()
        .map(|child| {
            let output = child.wait_with_output().expect("ended");
            assert!(output.status.success(), "{}", text(&output));
            text(&output)
        })
        .collect();
    assert_eq!(said.iter().filter(|said| said.contains("refused")).count(), 1, "{said:?}");
}

#[test]
fn a_rank_that_is_killed_or_stopped_is_missed_and_named() {
    for signal in ["KILL", "STOP"] {
        let port = port();
        let (zero, one) = (start("lost", (0, 2), port), start("lost", (1, 2), port));
        let mut one = one;
        wait_for_ready(&mut one);
        let sent =
            Command::new("kill").arg(format!("-{signal}")).arg(one.id().to_string()).status().expect("kill");
        assert!(sent.success());
        let began = Instant::now();
        let output = zero.wait_with_output().expect("ended");
        let took = began.elapsed();
        let _ = Command::new("kill").arg("-KILL").arg(one.id().to_string()).status();
        let _ = one.wait();
        let said = text(&output);
        assert_eq!(output.status.code(), Some(75), "{signal}: {said}");
        assert!(said.contains("rank 1 on host-of-1 is gone"), "{signal}: {said}");
        assert!(output.stderr.is_empty(), "{signal}: {said}");
        assert!(took < PATIENCE + Duration::from_secs(20), "{signal}: after {took:?}"); // an idle machine takes three seconds
    }
}

/// Reads until a rank has said that it is ready.
fn wait_for_ready(child: &mut Child) {
    use std::io::BufRead;
    let stdout = child.stdout.as_mut().expect("piped");
    let lines = std::io::BufReader::new(stdout).lines();
    assert!(lines.map_while(Result::ok).any(|line| line.contains("ready")), "the rank has ended");
}

#[test]
fn ranks_that_do_not_come_are_named() {
    let world = |rank: usize, port: u16| {
        let variable =
            [("RANK", rank.to_string()), ("WORLD_SIZE", "4".into()), ("MASTER_PORT", port.to_string())];
        let variable = move |name: &str| {
            let own = variable.iter().find(|(own, _)| *own == name).map(|(_, value)| value.clone());
            own.or_else(|| (name == "MASTER_ADDR").then(|| "127.0.0.1".to_owned()))
        };
        World::from_variables(Launcher::Environment, &variable).expect("variables").expect("several")
    };
    let error = Store::join(&world(0, port()), Duration::from_millis(300)).expect_err("alone").to_string();
    assert!(error.starts_with("ranks 1, 2, 3 of 4 did not come within"), "{error}");
    // Somebody else has the port.
    let taken = TcpListener::bind("0.0.0.0:0").expect("a port");
    let port = taken.local_addr().expect("address").port();
    let error = Store::join(&world(0, port), Duration::from_millis(300)).expect_err("in use");
    assert!(matches!(&error, Error::Store { at, .. } if at.ends_with(&port.to_string())), "{error}");
    assert!(error.hint().is_some());
}

/// Declarations stand in for Gloo's headers; an object of one of its classes made here would have another layout.
#[test]
fn no_object_of_gloo_is_made_by_the_shim() {
    let library = std::path::Path::new(env!("OUT_DIR")).join("libtorch_runtime_c10d.a");
    let Ok(symbols) = Command::new("nm").arg("-C").arg(&library).output() else {
        return println!("SKIPPED: no nm");
    };
    assert!(symbols.status.success(), "{}", text(&symbols));
    let symbols = String::from_utf8_lossy(&symbols.stdout).into_owned();
    assert!(symbols.contains("torch_runtime_group_new") && !symbols.contains("GlooStore"));
}
