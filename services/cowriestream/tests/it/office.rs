//! A coordinator with its workers, as processes.

use std::{fs, process::Command};

use serde_json::Value;

use crate::harness::{Hub, Process, eventually};

/// The coordinator to which jobs are submitted.
pub struct Office<'a> {
    hub: &'a Hub,
    pub grpc: String,
    pub rest: String,
}

impl<'a> Office<'a> {
    /// Starts a coordinator, and returns it with its address.
    pub fn open(hub: &'a Hub, name: &str, settings: &[(&str, &str)]) -> (Process, Self) {
        let log = hub.dir.path().join(name);
        let before = fs::metadata(&log).map_or(0, |metadata| metadata.len() as usize);
        let mut command = hub.command(&["coordinator"]);
        command.env("COWRIESTREAM_REST_LISTEN", "127.0.0.1:0").env("COWRIESTREAM_GRPC_LISTEN", "127.0.0.1:0");
        let process = Process::start(command.envs(settings.iter().copied()), &log);
        let said = |name: &str| {
            let text = fs::read_to_string(&log).unwrap_or_default();
            let line =
                text.get(before..)?.lines().find(|line| line.contains("coordinator ready"))?.to_owned();
            line.split_whitespace()
                .find_map(|word| word.strip_prefix(name).map(|address| format!("http://{address}")))
        };
        eventually("the coordinator is ready", || said("grpc=").is_some());
        (process, Self { hub, grpc: said("grpc=").unwrap(), rest: said("rest=").unwrap() })
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.hub.command(arguments);
        command.env("GRPC_URL", &self.grpc);
        command
    }

    /// Submits a job. Returns its id, or the error output.
    pub fn try_submit(&self, arguments: &[&str]) -> Result<String, String> {
        let out = self.command(&[&["jobs", "submit", "--json"], arguments].concat()).output().unwrap();
        if !out.status.success() {
            return Err(String::from_utf8_lossy(&out.stderr).into_owned());
        }
        Ok(serde_json::from_slice::<Value>(&out.stdout).unwrap()["job_id"].as_str().unwrap().to_owned())
    }

    pub fn submit(&self, arguments: &[&str]) -> String {
        self.try_submit(arguments).unwrap_or_else(|said| panic!("{arguments:?}: {said}"))
    }

    /// Submits a diagnostic job with these parameters and options.
    pub fn diagnostic(&self, parameters: &[&str], more: &[&str]) -> String {
        let parameters: Vec<_> = parameters.iter().flat_map(|&parameter| ["--param", parameter]).collect();
        self.submit(&[&["diagnostic"], &parameters[..], more].concat())
    }

    pub fn show(&self, job: &str) -> Value {
        let out = self.command(&["jobs", "show", "--json", job]).output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        serde_json::from_slice(&out.stdout).unwrap()
    }

    pub fn state(&self, job: &str) -> String {
        self.show(job)["status"]["state"].as_str().unwrap().to_owned()
    }

    pub fn worker(&self, name: &str, arguments: &[&str]) -> Process {
        let mut command = self.hub.command(&[&["worker", "--name", name], arguments].concat());
        // One connection: code that holds a connection and waits for another would block for ever.
        command.env("COWRIESTREAM_DATABASE_CONNECTIONS", "1");
        Process::start(&mut command, &self.hub.dir.path().join("worker.err"))
    }
}
