//! Machines and their snapshots. They run nothing, but have the states of real machines and take time to
//! change (Joyent CloudAPI 6.5, "Machine States").

use super::failure::{Code, Failure};
use super::offers::{Dataset, Kind, Package};
use crate::emulator::clock::SECOND;
use crate::emulator::date::{ISO, print};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// How long provisioning takes: long enough for a poller to see it.
const PROVISIONING: u64 = 2 * SECOND;
/// How long every other change takes.
const CHANGE: u64 = SECOND;

/// The tag that takes a machine off the network: the machine is `offline` as long as the tag has this value.
/// In the manual an event leads to that state, and no call does.
const OFFLINE: (&str, &str) = ("emulate", "offline");

/// The states of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    Provisioning,
    Running,
    Stopping,
    Stopped,
    Deleted,
    Offline,
}

impl State {
    pub(super) fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }
}

/// A machine. Points in time are microseconds since the epoch.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Machine {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) kind: Kind,
    /// The dataset's URN.
    pub(super) dataset: String,
    /// The memory in MB.
    pub(super) memory: u64,
    /// The disk's size in MB.
    pub(super) disk: u64,
    pub(super) ips: Vec<String>,
    /// The metadata without the generated credentials.
    pub(super) metadata: Map<String, Value>,
    /// The users and their generated passwords.
    pub(super) credentials: BTreeMap<String, String>,
    pub(super) tags: BTreeMap<String, String>,
    pub(super) created: u64,
    pub(super) updated: u64,
    pub(super) state: State,
    /// The next state, and when it is reached.
    pub(super) coming: Option<(State, u64)>,
    pub(super) snapshots: Vec<Snapshot>,
}

/// A snapshot of a machine.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Snapshot {
    pub(super) name: String,
    pub(super) created: u64,
    /// When the snapshot is complete.
    ready: u64,
    pub(super) is_ready: bool,
}

/// An action on a machine ("`StopMachine`" and the next three).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Stop,
    Start,
    Reboot,
    Resize(&'static Package),
}

impl Machine {
    /// Creates a machine that is being provisioned.
    pub(super) fn new(name: String, dataset: &Dataset, package: &Package, ip: String, now: u64) -> Self {
        let password = |user: &String| (user.clone(), password());
        Machine {
            id: uuid::Uuid::new_v4().to_string(),
            name,
            kind: dataset.kind,
            dataset: dataset.urn(),
            memory: package.memory,
            disk: package.disk,
            ips: vec![ip],
            metadata: Map::new(),
            credentials: dataset.users.iter().map(password).collect(),
            tags: BTreeMap::new(),
            created: now,
            updated: now,
            state: State::Provisioning,
            coming: Some((State::Running, now + PROVISIONING)),
            snapshots: Vec::new(),
        }
    }

    /// Returns the machine, unless it was deleted.
    pub(super) fn alive(&self) -> Result<&Self, Failure> {
        if self.state == State::Deleted {
            return Err(Failure::new(Code::GONE, format!("The machine {} was deleted", self.id)));
        }
        Ok(self)
    }

    /// Returns the state that the API shows.
    pub(super) fn shown_state(&self) -> State {
        let offline = self.tags.get(OFFLINE.0).is_some_and(|value| value == OFFLINE.1);
        if offline && self.state != State::Deleted { State::Offline } else { self.state }
    }

    /// Returns the machine as the API shows it.
    pub(super) fn show(&self, credentials: bool) -> Value {
        json!({
            "id": self.id,
            "name": self.name,
            "type": self.kind,
            "state": self.shown_state(),
            "dataset": self.dataset,
            "memory": self.memory,
            "disk": self.disk,
            "ips": self.ips,
            "metadata": self.metadata(credentials),
            "created": print(self.created, ISO),
            "updated": print(self.updated, ISO),
        })
    }

    /// Returns the metadata as the API shows it, with the generated credentials only on request.
    pub(super) fn metadata(&self, credentials: bool) -> Value {
        let mut metadata = self.metadata.clone();
        if credentials && !self.credentials.is_empty() {
            metadata.insert("credentials".to_owned(), json!(self.credentials));
        }
        Value::Object(metadata)
    }

    /// Starts an action.
    pub(super) fn act(&mut self, action: &Action, now: u64) -> Result<(), Failure> {
        let (from, through, to): (&[State], _, _) = match action {
            Action::Stop => (&[State::Running], State::Stopping, State::Stopped),
            // The diagram leads from stopped to running with no state between.
            Action::Start => (&[State::Stopped], State::Stopped, State::Running),
            // A reboot has no state of its own either: the machine stops, then runs.
            Action::Reboot => (&[State::Running], State::Stopping, State::Running),
            Action::Resize(_) => (&[State::Running, State::Stopped], self.state, self.state),
        };
        self.settled(from)?;
        if let Action::Resize(package) = action {
            if self.kind != Kind::Smart {
                return Err(Failure::argument("a virtual machine cannot be resized"));
            }
            (self.memory, self.disk) = (package.memory, package.disk);
        }
        self.state = through;
        self.coming = Some((to, now + CHANGE));
        self.updated = now;
        Ok(())
    }

    /// Deletes the machine, if it is stopped.
    pub(super) fn delete(&mut self, now: u64) -> Result<(), Failure> {
        self.settled(&[State::Stopped])?;
        self.state = State::Deleted;
        self.updated = now;
        Ok(())
    }

    /// Takes a snapshot.
    pub(super) fn snapshot(&mut self, name: Option<String>, now: u64) -> Result<&Snapshot, Failure> {
        if self.kind != Kind::Smart {
            return Err(Failure::argument("a virtual machine has no snapshots"));
        }
        // The server of that time named an unnamed snapshot like this.
        let name = name.unwrap_or_else(|| print(now, "%Y%m%d%H%M%S"));
        if self.snapshots.iter().any(|snapshot| snapshot.name == name) {
            return Err(Failure::argument(format!("there is a snapshot {name} already")));
        }
        self.snapshots.push(Snapshot { name, created: now, ready: now + CHANGE, is_ready: false });
        self.snapshots.last().ok_or_else(|| Failure::new(Code::INTERNAL, "the snapshot is lost"))
    }

    /// Returns a snapshot by its name.
    pub(super) fn find_snapshot(&self, name: &str) -> Result<&Snapshot, Failure> {
        let found = self.snapshots.iter().find(|snapshot| snapshot.name == name);
        found.ok_or_else(|| Failure::missing("The snapshot", name))
    }

    /// Boots the machine from a snapshot.
    pub(super) fn boot(&mut self, name: &str, now: u64) -> Result<(), Failure> {
        if !self.find_snapshot(name)?.is_ready {
            return Err(Failure::state(format!("the snapshot {name} is not taken yet")));
        }
        self.act(&Action::Start, now)
    }

    /// Returns whether a change has completed that the state does not show yet.
    pub(super) fn is_due(&self, now: u64) -> bool {
        self.coming.is_some_and(|(_, at)| at <= now)
            || self.snapshots.iter().any(|snapshot| !snapshot.is_ready && snapshot.ready <= now)
    }

    /// Brings the machine up to a time.
    pub(super) fn settle(&mut self, now: u64) {
        if let Some((state, at)) = self.coming
            && at <= now
        {
            (self.state, self.coming, self.updated) = (state, None, at);
        }
        for snapshot in &mut self.snapshots {
            snapshot.is_ready |= snapshot.ready <= now;
        }
    }

    /// Checks that the machine is in one of these states and not changing to another.
    fn settled(&self, states: &[State]) -> Result<(), Failure> {
        let state = self.shown_state();
        if let Some((next, _)) = self.coming {
            return Err(Failure::state(format!(
                "the machine is {}, on its way to {}",
                state.name(),
                next.name()
            )));
        }
        if !states.contains(&state) {
            return Err(Failure::state(format!("the machine is {}", state.name())));
        }
        Ok(())
    }
}

impl Snapshot {
    /// Returns the snapshot as the API shows it.
    pub(super) fn show(&self) -> Value {
        let (state, updated) = if self.is_ready { ("created", self.ready) } else { ("queued", self.created) };
        json!({"name": self.name, "state": state, "created": print(self.created, ISO), "updated": print(updated, ISO)})
    }
}

/// Returns ten characters that a person can copy.
fn password() -> String {
    uuid::Uuid::new_v4().simple().to_string().chars().take(10).collect()
}

#[cfg(test)]
mod tests {
    use super::State::{Deleted, Provisioning, Running, Stopped, Stopping};
    use super::*;

    const NOW: u64 = 1_000 * SECOND;

    fn machine(kind: Kind) -> Machine {
        let dataset = Dataset::all().iter().find(|dataset| dataset.kind == kind).unwrap();
        Machine::new("m".to_owned(), dataset, &Package::all()[0], "10.88.88.1".to_owned(), NOW)
    }

    fn running(kind: Kind) -> Machine {
        let mut machine = machine(kind);
        machine.settle(NOW + PROVISIONING);
        machine
    }

    #[test]
    fn it_goes_through_the_states_of_the_diagram() {
        let mut machine = machine(Kind::Smart);
        let mut now = NOW;
        let mut seen = vec![machine.state];
        machine.settle(now + PROVISIONING - 1);
        seen.push(machine.state);
        now += PROVISIONING;
        machine.settle(now);
        seen.push(machine.state);
        for action in [Action::Reboot, Action::Stop, Action::Start, Action::Stop] {
            machine.act(&action, now).unwrap();
            seen.push(machine.state);
            assert_eq!(machine.act(&action, now).unwrap_err().code, Code::INVALID_STATE, "{action:?} twice");
            assert_eq!(machine.delete(now).unwrap_err().code, Code::INVALID_STATE);
            now += CHANGE;
            assert!(machine.is_due(now) && !machine.is_due(now - 1));
            machine.settle(now);
            seen.push(machine.state);
        }
        machine.delete(now).unwrap();
        seen.push(machine.state);
        assert_eq!(
            seen,
            [
                Provisioning,
                Provisioning,
                Running,
                Stopping,
                Running,
                Stopping,
                Stopped,
                Stopped,
                Running,
                Stopping,
                Stopped,
                Deleted
            ]
        );
        assert_eq!(machine.alive().unwrap_err().code, Code::GONE);
    }

    #[test]
    fn only_a_smart_machine_is_resized_and_kept() {
        let large = Action::Resize(&Package::all()[2]);
        let mut smart = running(Kind::Smart);
        smart.act(&large, NOW).unwrap();
        assert_eq!((smart.state, smart.memory, smart.disk), (State::Running, 512, 10_240));
        let mut whole = running(Kind::Virtual);
        assert_eq!(whole.act(&large, NOW).unwrap_err().code, Code::INVALID_ARGUMENT);
        assert_eq!(whole.memory, Package::all()[0].memory);
        assert_eq!(whole.snapshot(None, NOW).unwrap_err().code, Code::INVALID_ARGUMENT);
    }

    #[test]
    fn a_snapshot_is_queued_then_created_then_booted() {
        let mut machine = running(Kind::Smart);
        let name = machine.snapshot(None, NOW).unwrap().name.clone();
        assert_eq!(name, "19700101001640");
        assert_eq!(machine.find_snapshot(&name).unwrap().show()["state"], "queued");
        assert_eq!(machine.snapshot(Some(name.clone()), NOW).unwrap_err().code, Code::INVALID_ARGUMENT);
        assert_eq!(machine.boot(&name, NOW).unwrap_err().code, Code::INVALID_STATE, "queued");
        machine.settle(NOW + CHANGE);
        assert_eq!(machine.find_snapshot(&name).unwrap().show()["state"], "created");
        assert_eq!(machine.boot(&name, NOW).unwrap_err().code, Code::INVALID_STATE, "running");
        machine.act(&Action::Stop, NOW).unwrap();
        machine.settle(NOW + CHANGE);
        machine.boot(&name, NOW).unwrap();
        assert_eq!(machine.coming.map(|(state, _)| state), Some(State::Running));
    }
}
