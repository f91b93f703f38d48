//! A program from its command line to its exit code.

use std::error::Error;
use std::fmt;
use std::process::{ExitCode, Termination};

use clap::Parser;

use super::{Errors, Signals, arguments, output};
use crate::threads;

/// LibTorch's, polars' and our own, each with one for every core: the first two end the program where they get none.
const THREADS_A_CORE: usize = 3;

type CodeOf = Box<dyn Fn(&(dyn Error + 'static)) -> Option<u8>>;
type IsStop = Box<dyn Fn(&(dyn Error + 'static)) -> bool>;

/// A program: how it prints errors, and which of them only say that a signal stopped the work.
///
/// ```no_run
/// # #[derive(clap::Parser)]
/// # struct Cli;
/// use host::program::{Errors, Program};
///
/// fn main() -> std::process::ExitCode {
///     let errors = Errors::new().flags::<Cli>();
///     Program::new(errors).run(|cli: Cli, signals| {
///         // … work that looks at `signals.drains()` …
///         Ok(())
///     })
/// }
/// ```
pub struct Program {
    errors: Errors,
    stops: Vec<IsStop>,
    codes: Vec<CodeOf>,
}

impl Program {
    /// A program that prints errors in this way.
    pub fn new(errors: Errors) -> Self {
        Self { errors, stops: Vec::new(), codes: Vec::new() }
    }

    /// Which errors of a type say that a signal stopped the work. The exit code is then the signal's.
    #[must_use]
    pub fn stopped<E: Error + 'static>(mut self, is_stop: impl Fn(&E) -> bool + 'static) -> Self {
        self.stops.push(Box::new(move |error| error.downcast_ref().is_some_and(&is_stop)));
        self
    }

    /// Which errors have an exit code of their own, other than 1.
    #[must_use]
    pub fn exits(mut self, code: impl Fn(&(dyn Error + 'static)) -> Option<u8> + 'static) -> Self {
        self.codes.push(Box::new(code));
        self
    }

    /// Parses the command line, listens for signals, checks that threads can be started, runs `work`, and prints its
    /// error.
    pub fn run<T: Parser, R: Termination>(
        &self,
        work: impl FnOnce(T, &Signals) -> Result<R, Box<dyn Error>>,
    ) -> ExitCode {
        let arguments = match arguments::parse(&self.errors) {
            Ok(arguments) => arguments,
            Err(code) => return code,
        };
        let begun = threads_can_be_had().and_then(|()| Ok(Signals::listen()?));
        let signals = match begun {
            Ok(signals) => signals,
            Err(error) => return self.failed(error.as_ref(), ExitCode::FAILURE),
        };
        match work(arguments, &signals) {
            Ok(done) => done.report(),
            Err(error) if self.is_stop(error.as_ref()) => {
                self.failed(error.as_ref(), ExitCode::from(signals.exit_code()))
            }
            Err(error) => {
                let code = self.codes.iter().find_map(|code| code(error.as_ref()));
                self.failed(error.as_ref(), code.map_or(ExitCode::FAILURE, ExitCode::from))
            }
        }
    }

    fn is_stop(&self, error: &(dyn Error + 'static)) -> bool {
        self.stops.iter().any(|is_stop| is_stop(error))
    }

    fn failed(&self, error: &(dyn Error + 'static), code: ExitCode) -> ExitCode {
        output::note(&self.errors.message(error));
        code
    }
}

/// Whether a launcher (torchrun) started several of this program, and this is not the first: it has nothing to do in work that
/// one of them does.
pub fn is_later_rank() -> bool {
    let number = |name| std::env::var(name).ok().and_then(|value| value.parse::<u32>().ok());
    number("WORLD_SIZE").is_some_and(|size| size > 1)
        && number("RANK").is_some_and(|rank| rank > 0)
        && std::env::var_os("MASTER_ADDR").is_some()
}

/// Prints an error and ends the program now, whatever other threads do.
pub fn fail_now(error: &(dyn Error + 'static), code: u8) -> ! {
    output::error(error);
    signal_hook::low_level::exit(code.into())
}

fn threads_can_be_had() -> Result<(), Box<dyn Error>> {
    Ok(threads::check(THREADS_A_CORE * threads::cores())?)
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program").field("errors", &self.errors).finish_non_exhaustive()
    }
}
