//! Running the commands that the device's owner configured.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::{fd::OwnedFd, unix::process::CommandExt as _},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open},
};

/// What to run, and with what.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// Program and arguments.
    pub command: &'a [String],
    /// Environment beside the agent's own.
    pub environment: &'a [(&'static str, String)],
    /// What stands on its standard input.
    pub input: &'a [u8],
    /// The longest that it can take.
    pub timeout: Duration,
}

/// Why a command did not do its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// In a few words, without what the command said.
    pub why: String,
    /// The end of what it said: it can repeat what is in a document.
    pub output: String,
}

/// Runs commands; tests have another one.
pub trait Commands: Send + Sync {
    /// Runs one to its end, and gives the end of what it said.
    fn run(&self, call: Call<'_>) -> Result<String, Failed>;
}

/// Runs them as processes of the system, each in a process group of its own, so that none of it outlives the time limit.
#[derive(Debug, Clone, Copy)]
pub struct System;

/// Bytes of what a command says that are kept.
const OUTPUT: u64 = 2_000;

impl Commands for System {
    fn run(&self, call: Call<'_>) -> Result<String, Failed> {
        let Some((program, arguments)) = call.command.split_first() else { return Ok(String::new()) };
        let fail = |why: String, output: String| Failed { why: format!("{program}: {why}"), output };
        let broken = |error: io::Error| fail(format!("cannot run it: {error}"), String::new());
        let (input, mut output) = (filled(call.input).map_err(broken)?, unnamed().map_err(broken)?);
        let mut child = Command::new(program)
            .args(arguments)
            .envs(call.environment.iter().map(|(name, value)| (name, value)))
            .stdin(input)
            .stdout(output.try_clone().map_err(broken)?)
            .stderr(Stdio::from(output.try_clone().map_err(broken)?))
            .process_group(0)
            .spawn()
            .map_err(broken)?;
        let ended = wait(&mut child, call.timeout).map_err(broken)?;
        let said = tail(&mut output).unwrap_or_default();
        match ended {
            None => {
                Err(fail(format!("it took longer than {} s and was ended", call.timeout.as_secs()), said))
            }
            Some(status) if status.success() => Ok(said),
            Some(status) => Err(fail(status.to_string(), said)),
        }
    }
}

/// A file without a name: unlike a pipe, it never blocks a command that says much, or one that reads nothing.
fn unnamed() -> io::Result<File> {
    let fd = rustix::fs::memfd_create("syncline-agent", rustix::fs::MemfdFlags::CLOEXEC)?;
    Ok(File::from(fd))
}

fn filled(bytes: &[u8]) -> io::Result<File> {
    let mut file = unnamed()?;
    file.write_all(bytes)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(file)
}

/// Waits for the end; `None` if the time was over first.
fn wait(child: &mut Child, timeout: Duration) -> io::Result<Option<ExitStatus>> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| io::Error::other("the process has no number"))?;
    let ended =
        pidfd_open(pid, PidfdFlags::empty()).map_err(io::Error::from).and_then(|fd| ends(&fd, timeout));
    if matches!(ended, Ok(true)) {
        return child.wait().map(Some);
    }
    // It may just have ended, and its group with it.
    let _ = kill_process_group(pid, Signal::KILL);
    child.wait()?;
    ended.map(|_| None)
}

/// Whether the process ends within the time.
fn ends(process: &OwnedFd, timeout: Duration) -> io::Result<bool> {
    let until = Instant::now() + timeout;
    loop {
        let left = Timespec::try_from(until.saturating_duration_since(Instant::now()))
            .map_err(|_| io::Error::other("the time limit is too long"))?;
        match poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&left)) {
            Err(rustix::io::Errno::INTR) => {}
            other => return Ok(other? > 0),
        }
    }
}

fn tail(output: &mut File) -> io::Result<String> {
    let length = output.seek(SeekFrom::End(0))?;
    output.seek(SeekFrom::Start(length.saturating_sub(OUTPUT)))?;
    let mut bytes = Vec::new();
    output.take(OUTPUT).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(script: &str, input: &[u8], timeout: Duration) -> Result<String, Failed> {
        let command = ["/bin/sh", "-c", script].map(str::to_owned);
        System.run(Call {
            command: &command,
            environment: &[("SYNCLINE_FILE", "/a".to_owned())],
            input,
            timeout,
        })
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn a_command_gets_its_input_and_says_what_it_says() {
        assert_eq!(run("cat; echo $SYNCLINE_FILE", b"in ", LONG).unwrap(), "in /a");
        assert_eq!(run("head -c 100000 /dev/zero", b"", LONG).unwrap().len(), 2_000);
        let failed = run("echo secret >&2; exit 3", b"", LONG).unwrap_err();
        assert_eq!((failed.why.as_str(), failed.output.as_str()), ("/bin/sh: exit status: 3", "secret"));
    }

    #[test]
    fn one_that_never_ends_is_ended_with_all_that_it_started() {
        let failed = run("sleep 1000 & sleep 1000", b"", Duration::from_millis(50)).unwrap_err();
        assert!(failed.why.contains("took longer"), "{failed:?}");
    }

    #[test]
    fn one_that_does_not_exist_is_named() {
        let command = ["/no/such/program".to_owned()];
        let call = Call { command: &command, environment: &[], input: b"", timeout: LONG };
        assert!(System.run(call).unwrap_err().why.contains("/no/such/program"));
    }
}
