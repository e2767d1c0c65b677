//! A processor whose Postgres is a map. It can be made to misbehave as networks, databases and brokers do.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use bus::{
    Batch, Bus, Delivered, Intake, Limits, Receipts, StreamMark,
    topology::{DEAD, EVENTS},
};
use events::{Announcement, DeadId, DeadLetter, FileId, RangeSet, Reason, SensorId, Source};

use crate::broker::topology;

/// The committed data, and settings of the processor's behaviour.
#[derive(Default)]
pub struct Postgres {
    /// Each line, with the number of its deliveries.
    pub events: BTreeMap<String, usize>,
    pub dead: BTreeMap<DeadId, DeadLetter>,
    pub committed: BTreeMap<FileId, RangeSet>,
    pub files: BTreeMap<FileId, Announcement>,
    /// Dead letters that a later message resolved.
    pub resolved: BTreeSet<DeadId>,
    /// The source of each message, in order of arrival.
    pub sources: Vec<Source>,
    /// The processor consumes nothing.
    pub paused: bool,
    /// The processor sends no receipts.
    pub mute: bool,
    /// The processor does not answer requests for receipts.
    pub deaf: bool,
    /// The processor acknowledges messages but commits nothing.
    pub forgetful: bool,
    pub questions: usize,
}

impl Postgres {
    pub fn deliveries(&self) -> usize {
        self.events.values().sum()
    }

    pub fn reasons(&self) -> Vec<Reason> {
        self.dead.values().map(|dead| dead.reason).collect()
    }

    fn take(&mut self, batch: &Batch) -> Vec<(SensorId, FileId)> {
        let mut touched = Vec::new();
        for item in &batch.items {
            if self.forgetful {
                continue;
            }
            let sensor = match &item.what {
                Delivered::Event { sensor, line, replay, .. } => {
                    self.resolved.extend(*replay);
                    *self.events.entry(String::from_utf8(line.to_vec()).unwrap()).or_default() += 1;
                    sensor.clone()
                }
                Delivered::Dead(dead) => {
                    self.dead.insert(dead.id(), dead.clone());
                    dead.sensor.clone()
                }
                Delivered::Foreign(why) => panic!("a foreign message: {why}"),
            };
            self.resolved.extend(item.replaces);
            self.files.extend(item.announce.iter().map(|file| (file.file_id, file.clone())));
            self.sources.push(item.source.clone());
            for (file, ranges) in &item.source.files {
                let committed = self.committed.entry(*file).or_default();
                ranges.iter().for_each(|&(start, end)| committed.insert(start, end));
                touched.push((sensor.clone(), *file));
            }
        }
        touched.sort();
        touched.dedup();
        touched
    }

    fn receipts(&self, files: &[FileId], marks: [Option<StreamMark>; 2]) -> Receipts {
        let ranges = |id: &FileId| self.committed.get(id).map(RangeSet::to_vec).unwrap_or_default();
        Receipts {
            stream: marks[0],
            dead: marks[1],
            files: files.iter().map(|id| (*id, ranges(id))).collect(),
        }
    }
}

pub struct Processor {
    state: Arc<Mutex<Postgres>>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Processor {
    #[expect(clippy::disallowed_methods, reason = "a test has no boot::Tasks")]
    pub fn start(bus: &Bus) -> Self {
        let state = Arc::<Mutex<Postgres>>::default();
        let ingest = tokio::spawn(ingest(bus.clone(), state.clone()));
        let answer = tokio::spawn(answer(bus.clone(), state.clone()));
        Self { state, tasks: vec![ingest, answer] }
    }

    /// The committed data, to read or change it.
    pub fn postgres(&self) -> MutexGuard<'_, Postgres> {
        self.state.lock().unwrap()
    }
}

impl Drop for Processor {
    fn drop(&mut self) {
        self.tasks.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

async fn ingest(bus: Bus, state: Arc<Mutex<Postgres>>) {
    let limits = Limits { messages: 500, bytes: 4 << 20, patience: Duration::from_millis(5) };
    loop {
        let known = marks(&bus).await;
        match Intake::open(&bus, limits).await {
            Ok(mut intake) => follow(&bus, &state, &mut intake, known).await,
            // Provisioning fails while the broker is down.
            Err(_) => drop(bus.provision(&topology()).await),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Consumes until a stream was created again.
async fn follow(bus: &Bus, state: &Mutex<Postgres>, intake: &mut Intake, known: [Option<StreamMark>; 2]) {
    let created = |marks: [Option<StreamMark>; 2]| marks.map(|mark| mark.map(|mark| mark.created));
    loop {
        if state.lock().unwrap().paused {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        }
        let Ok(next) = tokio::time::timeout(Duration::from_millis(300), intake.next()).await else {
            if bus.connected() && created(marks(bus).await) != created(known) {
                return;
            }
            continue;
        };
        let Ok(batch) = next else { return };
        let touched = state.lock().unwrap().take(&batch);
        if batch.acknowledge(bus).await.is_err() {
            return;
        }
        let marks = marks(bus).await;
        for (sensor, file) in touched {
            let receipts = state.lock().unwrap().receipts(&[file], marks);
            if !state.lock().unwrap().mute {
                bus.send_receipts(&sensor, &receipts).await.ok();
            }
        }
    }
}

async fn answer(bus: Bus, state: Arc<Mutex<Postgres>>) {
    let mut asks = bus.asks().await.unwrap();
    while let Some(ask) = asks.next().await {
        let marks = marks(&bus).await;
        let receipts = {
            let mut state = state.lock().unwrap();
            state.questions += 1;
            (!state.deaf).then(|| state.receipts(&ask.files, marks))
        };
        if let Some(receipts) = receipts {
            bus.answer(ask, &receipts).await.ok();
        }
    }
}

/// The floors of the consumers that exist.
async fn marks(bus: &Bus) -> [Option<StreamMark>; 2] {
    let mut marks = [None; 2];
    for (mark, stream) in marks.iter_mut().zip([EVENTS, DEAD]) {
        if let (Ok(Some(facts)), Ok(Some(consumer))) = (bus.stream(stream).await, bus.consumer(stream).await)
        {
            *mark = Some(StreamMark { created: facts.created, floor: consumer.floor });
        }
    }
    marks
}
