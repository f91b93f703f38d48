//! A program that starts itself once more is still the same to whoever started it. This file is both: the tests, and with
//! `child` as its first argument the program.

#![allow(missing_docs)]

torch_runtime::wait_passively!();

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn main() {}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn main() -> std::process::ExitCode {
    linux::main()
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, clippy::expect_used)]
mod linux {
    use std::ffi::{CString, OsStr, OsString, c_char};
    use std::fs;
    use std::io::{Read as _, Write as _};
    use std::os::fd::AsRawFd as _;
    use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
    use std::os::unix::process::ExitStatusExt as _;
    use std::path::{Path, PathBuf};
    use std::process::{Child, Command, ExitCode, Stdio};

    const TESTS: [(&str, fn()); 9] = [
        ("the_variable_is_set_and_the_process_is_the_same", the_variable_is_set_and_the_process_is_the_same),
        ("what_the_user_chose_stays", what_the_user_chose_stays),
        ("arguments_and_variables_of_any_bytes_arrive", arguments_and_variables_of_any_bytes_arrive),
        ("standard_input_is_read_from_its_beginning", standard_input_is_read_from_its_beginning),
        ("signals_end_it_and_blocked_ones_stay_blocked", signals_end_it_and_blocked_ones_stay_blocked),
        ("it_starts_though_its_file_is_gone_or_another", it_starts_though_its_file_is_gone_or_another),
        ("where_it_cannot_start_again_it_goes_on", where_it_cannot_start_again_it_goes_on),
        ("it_never_starts_a_third_time", it_never_starts_a_third_time),
        ("under_the_loader_it_goes_on", under_the_loader_it_goes_on),
    ];

    pub(super) fn main() -> ExitCode {
        if std::env::args_os().nth(1).is_some_and(|first| first == "child") {
            return child();
        }
        // As cargo's own: a word of the test's name chooses.
        let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
        for (name, test) in TESTS {
            if wanted.is_empty() || wanted.iter().any(|word| name.contains(word.as_str())) {
                test();
                println!("test {name} ... ok");
            }
        }
        ExitCode::SUCCESS
    }

    /// What the program does: it says what it has become.
    fn child() -> ExitCode {
        let passive = std::env::var_os("OMP_WAIT_POLICY").is_some_and(|policy| policy == "passive");
        let mut said = format!("{} {passive}\n", std::process::id()).into_bytes();
        let arguments = std::env::args_os().skip(2);
        for text in arguments.chain(std::env::var_os("ANY")) {
            said.extend(text.as_bytes());
            said.push(b'\n');
        }
        std::io::stdin().read_to_end(&mut said).unwrap();
        let status = fs::read_to_string("/proc/self/status").unwrap();
        for line in status.lines().filter(|line| line.starts_with("SigBlk") || line.starts_with("Name")) {
            said.extend(format!("\n{line}").bytes());
        }
        std::io::stdout().write_all(&said).unwrap();
        if std::env::var_os("STAY").is_some() {
            std::io::stdout().flush().unwrap();
            std::thread::sleep(std::time::Duration::from_mins(1));
        }
        ExitCode::from(7)
    }

    fn program(path: &Path) -> Command {
        program_by(path, &["child".as_ref()])
    }

    fn program_by(path: &Path, arguments: &[&OsStr]) -> Command {
        let mut command = Command::new(path);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
        for variable in ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "TORCH_RUNTIME_STARTED_AGAIN"] {
            command.env_remove(variable);
        }
        command
    }

    fn this() -> PathBuf {
        std::env::current_exe().unwrap()
    }

    /// The process's id, and what it said, once it has ended with its own exit code.
    fn ended(child: Child) -> (u32, Vec<u8>) {
        let id = child.id();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(7), "{output:?}");
        (id, output.stdout)
    }

    fn said(command: &mut Command) -> (u32, String) {
        let (id, said) = ended(command.spawn().unwrap());
        (id, String::from_utf8(said).unwrap())
    }

    fn the_variable_is_set_and_the_process_is_the_same() {
        let (id, said) = said(&mut program(&this()));
        assert!(said.starts_with(&format!("{id} true\n")), "{said}");
        // Lists of processes show 15 letters of the name that it was started by.
        let name = this().file_name().unwrap().to_string_lossy().chars().take(15).collect::<String>();
        assert!(said.contains(&format!("Name:\t{name}")), "{said}");
    }

    fn what_the_user_chose_stays() {
        for (name, value) in [("OMP_WAIT_POLICY", "active"), ("GOMP_SPINCOUNT", "5")] {
            let (id, said) = said(program(&this()).env(name, value));
            assert!(said.starts_with(&format!("{id} false\n")), "{name}={value}: {said}");
        }
    }

    fn arguments_and_variables_of_any_bytes_arrive() {
        let bytes = [b"\xff\xfe\n".as_slice(), b"", b"two words", b"--x=\x80"];
        let mut command = program(&this());
        command.args(bytes.iter().map(|bytes| OsStr::from_bytes(bytes)));
        command.env("ANY", OsString::from_vec(b"\x80=\xff".to_vec()));
        let (id, said) = ended(command.spawn().unwrap());
        let mut expected = format!("{id} true\n").into_bytes();
        expected.extend(bytes.join(b"\n".as_slice()));
        expected.extend(b"\n\x80=\xff\n");
        assert!(said.starts_with(&expected), "{said:?}");
    }

    fn standard_input_is_read_from_its_beginning() {
        let mut child = program(&this()).stdin(Stdio::piped()).spawn().unwrap();
        let lines = "line\n".repeat(50_000);
        child.stdin.take().unwrap().write_all(format!("{lines}last").as_bytes()).unwrap();
        let (id, said) = ended(child);
        assert!(String::from_utf8(said).unwrap().starts_with(&format!("{id} true\n{lines}last\n")));
    }

    fn signals_end_it_and_blocked_ones_stay_blocked() {
        let mut child = program(&this()).env("STAY", "1").spawn().unwrap();
        child.stdout.as_mut().unwrap().read_exact(&mut [0; 8]).unwrap();
        assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
        assert_eq!(child.wait().unwrap().signal(), Some(15));
        // As some launchers do.
        let block = "import os, signal, sys; signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1]); \
            os.execv(sys.argv[1], sys.argv[1:])";
        let arguments = [OsString::from("-c"), block.into(), this().into_os_string(), "child".into()];
        let arguments: Vec<&OsStr> = arguments.iter().map(OsString::as_os_str).collect();
        match program_by(Path::new("python3"), &arguments).spawn() {
            Ok(child) => {
                let said = String::from_utf8(ended(child).1).unwrap();
                assert!(said.contains(" true\n") && said.contains("SigBlk:\t0000000000000200"), "{said}");
            }
            Err(error) => println!("without python3 ({error}) no signal is blocked"),
        }
    }

    fn it_starts_though_its_file_is_gone_or_another() {
        for other in [None, Some("#!/bin/sh\necho another program\n")] {
            let copy = std::env::temp_dir().join(format!("waiting-{}", std::process::id()));
            fs::copy(this(), &copy).unwrap();
            let open = fs::File::open(&copy).unwrap();
            fs::remove_file(&copy).unwrap();
            if let Some(text) = other {
                fs::write(&copy, text).unwrap();
            }
            let by_number = format!("/proc/{}/fd/{}", std::process::id(), open.as_raw_fd());
            let (id, said) = said(&mut program(Path::new(&by_number)));
            let _ = fs::remove_file(&copy);
            assert!(said.starts_with(&format!("{id} true\n")), "{other:?}: {said}");
        }
    }

    fn where_it_cannot_start_again_it_goes_on() {
        // Longer than a variable may be.
        let long = CString::new("X=".repeat(100_000)).unwrap();
        let list: [*const c_char; 2] = [long.as_ptr(), std::ptr::null()];
        #[allow(unsafe_code)]
        // SAFETY: a list as it is asked for.
        unsafe {
            torch_runtime::waiting::start_again(0, list.as_ptr(), list.as_ptr());
        }
    }

    fn it_never_starts_a_third_time() {
        let script = "TORCH_RUNTIME_STARTED_AGAIN=$$ exec \"$0\" child";
        let this = this().into_os_string();
        let (id, said) =
            said(&mut program_by(Path::new("sh"), &["-c".as_ref(), script.as_ref(), this.as_os_str()]));
        assert!(said.starts_with(&format!("{id} false\n")), "{said}");
    }

    /// `/lib64/ld-linux-x86-64.so.2 PROGRAM`: the file that runs is the loader.
    fn under_the_loader_it_goes_on() {
        let loader = Path::new("/lib64/ld-linux-x86-64.so.2");
        if loader.exists() {
            let (id, said) = said(&mut program_by(loader, &[this().as_os_str(), "child".as_ref()]));
            assert!(said.starts_with(&format!("{id} false\n")), "{said}");
        }
    }
}
