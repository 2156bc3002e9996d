//! Those who call on a core of their own.

use rustix::{
    process::Pid,
    thread::{CpuSet, sched_setaffinity},
};

use crate::{Outcome, bed::Bed};

/// While this lives, those who call have the last core, and what is measured, the database among it, has the
/// others. Without it the calls that are too many take their making from what answers them.
#[derive(Debug)]
pub(crate) struct Apart {
    measured: Vec<u32>,
    cores: usize,
}

impl Apart {
    /// From now on.
    pub(crate) fn begin(bed: &Bed) -> Outcome<Self> {
        let cores = std::thread::available_parallelism()?.get();
        if cores < 2 {
            return Err("those who call need a core of their own".into());
        }
        let measured = vec![bed.small.service.id(), bed.cluster.id()];
        let apart = Self { measured, cores };
        apart.put(0..cores - 1, cores - 1..cores)?;
        Ok(apart)
    }

    fn put(&self, measured: std::ops::Range<usize>, callers: std::ops::Range<usize>) -> Outcome {
        for process in processes()? {
            // PostgreSQL has a process for each connection.
            if self.measured.contains(&process.id) || self.measured.contains(&process.parent) {
                on(process.id, measured.clone())?;
            }
        }
        on(std::process::id(), callers)
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        if let Err(error) = self.put(0..self.cores, 0..self.cores) {
            eprintln!("the cores are not given back: {error}");
        }
    }
}

struct Process {
    id: u32,
    parent: u32,
}

fn processes() -> Outcome<Vec<Process>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let Ok(id) = entry?.file_name().to_string_lossy().parse() else { continue };
        // One that has ended meanwhile has none.
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{id}/stat")) else { continue };
        // The name, in brackets, may hold spaces; the parent is the second field after it.
        let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1));
        found.push(Process { id, parent: parent.ok_or("/proc has no stat")?.parse()? });
    }
    Ok(found)
}

/// Puts all threads of a process on these cores; those that they start follow.
fn on(process: u32, cores: std::ops::Range<usize>) -> Outcome {
    let mut set = CpuSet::new();
    cores.for_each(|core| set.set(core));
    for thread in std::fs::read_dir(format!("/proc/{process}/task"))? {
        let thread = thread?.file_name().to_string_lossy().parse()?;
        // One that has ended meanwhile needs none.
        let _ = sched_setaffinity(Pid::from_raw(thread), &set);
    }
    Ok(())
}
