//! Who a process is among others, as its launcher says it.

use std::net::UdpSocket;

use super::Error;

/// Who started the processes, and so in which variables they find each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Launcher {
    /// torchrun, or whoever sets `RANK`, `WORLD_SIZE`, `MASTER_ADDR` and `MASTER_PORT`.
    #[default]
    Environment,
    /// Slurm's `srun`. Its variables stand in plain batch scripts as well, so it must be named.
    Slurm,
    /// Open MPI's or Hydra's `mpirun`, with `MASTER_ADDR` set for all ranks.
    Mpi,
}

/// A process among others.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct World {
    /// This process, from 0.
    pub rank: usize,
    /// How many there are.
    pub size: usize,
    /// This process among those of its host.
    pub local_rank: usize,
    /// How many there are on its host; 1 where the launcher does not say.
    pub local_size: usize,
    /// The host of rank 0.
    pub host: String,
    /// The port of the store there.
    pub port: u16,
    /// What tells this start apart from others at the same address: a restarted world must not read what the one before
    /// left in the store.
    pub attempt: String,
    /// Whether the launcher serves the store, as torchrun does.
    pub served: bool,
}

/// The port of `torch.distributed` where nobody says another.
const PORT: u16 = 29500;

impl World {
    /// The world that the launcher's variables describe; `None` where there are none, or where it has one process.
    ///
    /// # Errors
    /// [`Error::Launcher`] for variables that are incomplete, no numbers, or contradict each other.
    pub fn from_env(launcher: Launcher) -> Result<Option<Self>, Error> {
        Self::from_variables(launcher, &|name| std::env::var(name).ok())
    }

    /// The same of other variables than the environment's.
    ///
    /// # Errors
    /// As [`World::from_env`].
    pub fn from_variables(
        launcher: Launcher,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, Error> {
        let read = Variables(variable);
        let world = match launcher {
            Launcher::Environment => read.environment()?,
            Launcher::Slurm => Some(read.slurm()?),
            Launcher::Mpi => Some(read.mpi()?),
        };
        Ok(world.filter(|world| world.size > 1))
    }

    /// This host's address as other ranks reach it: that of the interface from which rank 0's host is reached. (A host's
    /// own name often stands for 127.0.1.1.) Nothing is sent.
    pub fn own_address(&self) -> Option<String> {
        own_address(&self.host, self.port)
    }

    /// Host and port of the store.
    pub fn at(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

/// This host's address on the way to another. Nothing is sent.
pub fn own_address(host: &str, port: u16) -> Option<String> {
    let socket = UdpSocket::bind("0.0.0.0:0").or_else(|_| UdpSocket::bind("[::]:0")).ok()?;
    socket.connect((host, port)).ok()?;
    Some(socket.local_addr().ok()?.ip().to_string())
}

/// The environment, or what a test puts in its place.
struct Variables<'v>(&'v dyn Fn(&str) -> Option<String>);

impl Variables<'_> {
    fn get(&self, name: &str) -> Option<String> {
        (self.0)(name).filter(|value| !value.is_empty())
    }

    fn number(&self, name: &'static str) -> Result<Option<usize>, Error> {
        let parse = |text: String| {
            text.trim().parse().map_err(|_| Error::Launcher {
                variable: name,
                problem: format!("is `{text}`, and a number from 0 is needed"),
            })
        };
        self.get(name).map(parse).transpose()
    }

    fn needed(&self, name: &'static str) -> Result<usize, Error> {
        self.number(name)?.ok_or(Error::Launcher { variable: name, problem: "is not set".to_owned() })
    }

    fn port(&self) -> Result<Option<u16>, Error> {
        let name = "MASTER_PORT";
        let narrow = |port: usize| {
            u16::try_from(port).ok().filter(|port| *port > 0).ok_or(Error::Launcher {
                variable: name,
                problem: format!("is {port}, and ports are 1 to 65535"),
            })
        };
        self.number(name)?.map(narrow).transpose()
    }

    /// torchrun's variables, or the same set by hand.
    fn environment(&self) -> Result<Option<World>, Error> {
        if self.get("RANK").is_none() && self.get("WORLD_SIZE").is_none_or(|size| size == "1") {
            return Ok(None);
        }
        let host = self.get("MASTER_ADDR");
        let host =
            host.ok_or(Error::Launcher { variable: "MASTER_ADDR", problem: "is not set".to_owned() })?;
        let part = |name: &str| self.get(name).unwrap_or_default();
        checked(World {
            rank: self.needed("RANK")?,
            size: self.needed("WORLD_SIZE")?,
            local_rank: self.number("LOCAL_RANK")?.unwrap_or(0),
            local_size: self.number("LOCAL_WORLD_SIZE")?.unwrap_or(1),
            host,
            port: self.port()?.unwrap_or(PORT),
            attempt: format!("{}/{}", part("TORCHELASTIC_RUN_ID"), part("TORCHELASTIC_RESTART_COUNT")),
            served: self.get("TORCHELASTIC_USE_AGENT_STORE").is_some_and(|served| served == "True"),
        })
        .map(Some)
    }

    /// Slurm's variables of a step; the port comes from the job's number, so that two jobs on a host do not meet.
    fn slurm(&self) -> Result<World, Error> {
        let nodes = self.get("SLURM_STEP_NODELIST").or_else(|| self.get("SLURM_NODELIST"));
        let host = self.get("MASTER_ADDR").or_else(|| first_host(&nodes?));
        let host = host.ok_or(Error::Launcher {
            variable: "SLURM_STEP_NODELIST",
            problem: "names no host: start with srun, or set MASTER_ADDR".to_owned(),
        })?;
        let job = self.number("SLURM_JOB_ID")?.unwrap_or(0);
        let step = self.get("SLURM_STEP_ID").unwrap_or_default();
        checked(World {
            rank: self.needed("SLURM_PROCID")?,
            size: self.needed("SLURM_STEP_NUM_TASKS")?,
            local_rank: self.number("SLURM_LOCALID")?.unwrap_or(0),
            local_size: self.get("SLURM_STEP_TASKS_PER_NODE").and_then(|tasks| leading(&tasks)).unwrap_or(1),
            host,
            port: self.port()?.unwrap_or(20_000 + (job % 20_000) as u16),
            attempt: format!("{job}/{step}"),
            served: false,
        })
    }

    /// Open MPI's variables, or Hydra's (MPICH, Intel MPI).
    fn mpi(&self) -> Result<World, Error> {
        let open = self.get("OMPI_COMM_WORLD_RANK").is_some();
        let names = if open {
            [
                "OMPI_COMM_WORLD_RANK",
                "OMPI_COMM_WORLD_SIZE",
                "OMPI_COMM_WORLD_LOCAL_RANK",
                "OMPI_COMM_WORLD_LOCAL_SIZE",
            ]
        } else {
            ["PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS"]
        };
        let [rank, size, local_rank, local_size] = names;
        let host = self.get("MASTER_ADDR").ok_or(Error::Launcher {
            variable: "MASTER_ADDR",
            problem: "is not set: mpirun does not tell ranks where rank 0 is".to_owned(),
        })?;
        checked(World {
            rank: self.needed(rank)?,
            size: self.needed(size)?,
            local_rank: self.number(local_rank)?.unwrap_or(0),
            local_size: self.number(local_size)?.unwrap_or(1),
            host,
            port: self.port()?.unwrap_or(PORT),
            attempt: self.get("PMIX_NAMESPACE").or_else(|| self.get("PMI_ID")).unwrap_or_default(),
            served: false,
        })
    }
}

/// A world whose numbers fit together.
fn checked(world: World) -> Result<World, Error> {
    let World { rank, size, local_rank, local_size, .. } = world;
    let refuse = |variable, problem| Err(Error::Launcher { variable, problem });
    if size == 0 {
        return refuse("WORLD_SIZE", "is 0".to_owned());
    }
    if rank >= size {
        return refuse("RANK", format!("is {rank}, and ranks of {size} processes are 0 to {}", size - 1));
    }
    // Where nobody says how many a host has, any place on it is fine.
    if local_size != 1 && local_rank >= local_size {
        return refuse("LOCAL_RANK", format!("is {local_rank} of {local_size} on this host"));
    }
    Ok(world)
}

/// The number that a text such as `4(x2),3` begins with.
fn leading(text: &str) -> Option<usize> {
    text.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// The first host of Slurm's `node[07-09,12],login`: `node07`.
fn first_host(nodes: &str) -> Option<String> {
    let (name, rest) = match nodes.find(['[', ',']) {
        Some(at) if nodes[at..].starts_with('[') => (&nodes[..at], &nodes[at + 1..]),
        Some(at) => (&nodes[..at], ""),
        None => (nodes, ""),
    };
    let number: String = rest.chars().take_while(char::is_ascii_digit).collect();
    // What follows the brackets belongs to every name: `rack[1-2]-a`.
    let after = rest.split_once(']').map_or("", |(_, after)| after.split(',').next().unwrap_or_default());
    Some(format!("{name}{number}{after}")).filter(|host| !host.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world(launcher: Launcher, variables: &[(&str, &str)]) -> Result<Option<World>, Error> {
        let find =
            |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
        World::from_variables(launcher, &find)
    }

    fn some(launcher: Launcher, variables: &[(&str, &str)]) -> World {
        world(launcher, variables).expect("variables").expect("several processes")
    }

    #[test]
    fn torchrun_is_understood_unasked() {
        let found = some(
            Launcher::Environment,
            &[
                ("RANK", "5"),
                ("WORLD_SIZE", "8"),
                ("LOCAL_RANK", "1"),
                ("LOCAL_WORLD_SIZE", "4"),
                ("MASTER_ADDR", "node03"),
                ("MASTER_PORT", "29871"),
                ("TORCHELASTIC_RUN_ID", "none"),
                ("TORCHELASTIC_RESTART_COUNT", "2"),
                ("TORCHELASTIC_USE_AGENT_STORE", "True"),
            ],
        );
        assert_eq!((found.rank, found.size, found.local_rank, found.local_size), (5, 8, 1, 4));
        assert_eq!(
            (found.at().as_str(), found.attempt.as_str(), found.served),
            ("node03:29871", "none/2", true)
        );
    }

    #[test]
    fn by_hand_a_few_variables_are_enough_and_one_process_is_no_world() {
        let by_hand = [("RANK", "1"), ("WORLD_SIZE", "2"), ("MASTER_ADDR", "10.0.0.1")];
        let found = some(Launcher::Environment, &by_hand);
        assert_eq!((found.at().as_str(), found.served, found.local_size), ("10.0.0.1:29500", false, 1));
        for alone in
            [&[][..], &[("WORLD_SIZE", "1")], &[("RANK", "0"), ("WORLD_SIZE", "1"), ("MASTER_ADDR", "a")]]
        {
            assert_eq!(world(Launcher::Environment, alone).expect("alone"), None, "{alone:?}");
        }
        // In a plain batch script, Slurm's variables mean nothing.
        let batch = [("SLURM_PROCID", "0"), ("SLURM_STEP_NUM_TASKS", "4"), ("SLURM_NODELIST", "n1")];
        assert_eq!(world(Launcher::Environment, &batch).expect("alone"), None);
    }

    #[test]
    fn slurm_and_both_mpis_are_understood_when_named() {
        let found = some(
            Launcher::Slurm,
            &[
                ("SLURM_PROCID", "3"),
                ("SLURM_STEP_NUM_TASKS", "4"),
                ("SLURM_LOCALID", "1"),
                ("SLURM_STEP_TASKS_PER_NODE", "2(x2)"),
                ("SLURM_STEP_NODELIST", "node[07-08]"),
                ("SLURM_JOB_ID", "4123456"),
                ("SLURM_STEP_ID", "0"),
            ],
        );
        assert_eq!((found.rank, found.size, found.local_rank, found.local_size), (3, 4, 1, 2));
        assert_eq!(
            (found.host.as_str(), found.port, found.attempt.as_str()),
            ("node07", 23_456, "4123456/0")
        );
        let open = [
            ("OMPI_COMM_WORLD_RANK", "1"),
            ("OMPI_COMM_WORLD_SIZE", "4"),
            ("OMPI_COMM_WORLD_LOCAL_RANK", "1"),
            ("OMPI_COMM_WORLD_LOCAL_SIZE", "2"),
            ("MASTER_ADDR", "a"),
        ];
        assert_eq!(some(Launcher::Mpi, &open).rank, 1);
        let hydra = [("PMI_RANK", "2"), ("PMI_SIZE", "3"), ("MASTER_ADDR", "a"), ("MASTER_PORT", "1234")];
        assert_eq!(some(Launcher::Mpi, &hydra).at(), "a:1234");
    }

    #[test]
    fn hosts_of_slurm_lists() {
        for (nodes, first) in [
            ("node07", "node07"),
            ("node07,node08", "node07"),
            ("node[07-09,12],login", "node07"),
            ("rack[1-2]-a", "rack1-a"),
            ("a,b[1-3]", "a"),
        ] {
            assert_eq!(first_host(nodes).as_deref(), Some(first), "{nodes}");
        }
        assert_eq!(first_host(""), None);
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        let full = [("RANK", "1"), ("WORLD_SIZE", "2"), ("MASTER_ADDR", "a"), ("MASTER_PORT", "29500")];
        let with = |name: &'static str, value: Option<&'static str>| {
            let mut variables: Vec<_> = full.into_iter().filter(|(n, _)| *n != name).collect();
            variables.extend(value.map(|value| (name, value)));
            world(Launcher::Environment, &variables).expect_err(name).to_string()
        };
        for (name, value, says) in [
            ("RANK", None, "RANK is not set"),
            ("RANK", Some("2"), "RANK is 2, and ranks of 2 processes are 0 to 1"),
            ("RANK", Some("-1"), "RANK is `-1`"),
            ("WORLD_SIZE", Some("many"), "WORLD_SIZE is `many`"),
            ("WORLD_SIZE", Some("0"), "WORLD_SIZE is 0"),
            ("WORLD_SIZE", None, "WORLD_SIZE is not set"),
            ("MASTER_ADDR", None, "MASTER_ADDR is not set"),
            ("MASTER_PORT", Some("70000"), "MASTER_PORT is 70000"),
            ("MASTER_PORT", Some("0"), "MASTER_PORT is 0"),
        ] {
            let said = with(name, value);
            assert!(said.starts_with(says), "{name}={value:?}: {said}");
        }
        let error = world(Launcher::Slurm, &[("SLURM_PROCID", "0")]).expect_err("no hosts");
        assert!(error.to_string().contains("SLURM_STEP_NODELIST") && error.hint().is_some());
    }

    #[test]
    fn the_own_address_is_that_of_the_way_to_rank_0() {
        let found = some(
            Launcher::Environment,
            &[("RANK", "1"), ("WORLD_SIZE", "2"), ("MASTER_ADDR", "127.0.0.1"), ("MASTER_PORT", "29500")],
        );
        assert_eq!(found.own_address().as_deref(), Some("127.0.0.1"));
    }
}
