//! The same story in several lives: one in which the manager is never killed, and others in which it is killed again
//! and again. At each way-station, and in the end, they must hold the same.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use api::HostedCluster;
use futures::future::try_join_all;
use tokio::sync::watch;

use crate::etcds::Etcds;
use crate::mortal::{Killed, Mortal};
use crate::picture::{Picture, difference, picture};
use crate::stage::Stage;
use crate::witness::Witness;

/// Much longer than any step takes, with several lives at once on a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);
/// Longer than any timer of the controllers but those for people (scale-down delay, child that does not answer).
const QUIET: Duration = Duration::from_millis(1200);

/// One process after each write passes every point between two writes in one life, on both sides of the answer; the
/// others meet the objects in other combinations.
pub const FATES: [Killed; 6] = [
    Killed::AfterWrite(1),
    Killed::BeforeWrite(2),
    Killed::AfterWrite(3),
    Killed::AfterWrite(2),
    Killed::BeforeWrite(4),
    Killed::AfterWrite(5),
];

/// What was found at the way-stations, in their order, and by the witness.
pub struct Course {
    stations: Vec<Station>,
    pub killed: Killed,
    pub deaths: usize,
    seen: BTreeMap<String, BTreeSet<String>>,
    writes: Vec<String>,
}

/// More lives at once would only wait for each other.
const AT_ONCE: usize = 8;

impl Course {
    /// All processes together sent this write so many times.
    pub fn wrote(&self, write: &str, times: usize) -> Result<()> {
        let sent = self.writes.iter().filter(|one| *one == write).count();
        ensure!(
            sent == times,
            "{:?}: {write}: {sent} times instead of {times}: {:#?}",
            self.killed,
            self.writes
        );
        Ok(())
    }

    /// There were so many objects of this kind and name, one after the other.
    pub fn saw(&self, what: &str, times: usize) -> Result<()> {
        let all = self.seen.get(what).into_iter().flatten().collect::<Vec<_>>();
        ensure!(
            all.len() == times,
            "{:?}: {what} was made {} times instead of {times}: {all:#?}; all writes: {:#?}",
            self.killed,
            all.len(),
            self.writes
        );
        Ok(())
    }

    /// The way in words: what each station changed.
    fn told(&self) -> String {
        let before = [Picture::new()];
        let before = before.iter().chain(self.stations.iter().map(|(_, found)| found));
        let told = before.zip(&self.stations).map(|(before, (station, found))| {
            let changed = difference(before, found);
            format!("{station}:\n{changed}")
        });
        told.collect()
    }
}

/// One life of cluster `one`.
pub struct Life {
    pub stage: Stage,
    pub etcds: Option<Etcds>,
    manager: Mortal,
    witness: Witness,
    stations: Vec<Station>,
    road: Road,
}

/// What is found at a way-station.
type Station = (&'static str, Picture);

/// The undisturbed life goes ahead, the others follow it from station to station.
enum Road {
    Ahead(watch::Sender<Vec<Station>>),
    Behind(watch::Receiver<Vec<Station>>),
}

/// Lives the story once undisturbed, and then with every fate. The undisturbed course comes first.
pub async fn every_life(
    stage: &Stage,
    fates: &[Killed],
    story: impl AsyncFn(&mut Life) -> Result<()>,
) -> Result<Vec<Course>> {
    let (tell, told) = watch::channel(Vec::new());
    let one = async |killed: Killed, road: Road| -> Result<Course> {
        let start = Instant::now();
        let name = format!("{killed:?}").to_lowercase().replace(['(', ')'], "-");
        let stage = stage.beside(&format!("life-{}", name.trim_end_matches('-'))).await?;
        let mut life = Life {
            manager: Mortal::start(stage.managers.clone(), killed),
            witness: Witness::of(&stage, "one"),
            etcds: None,
            stations: Vec::new(),
            road,
            stage,
        };
        let lived = story(&mut life).await;
        let (deaths, writes) = (life.manager.deaths(), life.manager.writes());
        println!(
            "{killed:?}: {} writes by {} processes in {:.1?}",
            writes.len(),
            deaths + 1,
            start.elapsed()
        );
        lived.with_context(|| format!("{killed:?}: {} processes wrote {writes:#?}", deaths + 1))?;
        Ok(Course { stations: life.stations, killed, deaths, seen: life.witness.told(), writes })
    };
    let mut lives = vec![one(Killed::Never, Road::Ahead(tell))];
    lives.extend(fates.iter().map(|killed| one(*killed, Road::Behind(told.clone()))));
    let mut courses = Vec::new();
    while !lives.is_empty() {
        courses.extend(try_join_all(lives.drain(..lives.len().min(AT_ONCE))).await?);
    }
    println!("{}", courses[0].told());
    for course in &courses {
        let killed = course.killed;
        ensure!(course.stations.len() == courses[0].stations.len(), "{killed:?}: a station is missing");
        let again = matches!(killed, Killed::AfterWrite(_) | Killed::BeforeWrite(_));
        ensure!(course.deaths > 0 || !again, "{killed:?}: nobody was killed");
        // H-9: an authority had one content, whoever was killed when.
        for authority in course.seen.keys().filter(|name| name.starts_with("Secret ")) {
            course.saw(authority, 1)?;
        }
    }
    Ok(courses)
}

impl Life {
    /// Waits, while members of etcd are looked after.
    pub async fn until(&mut self, what: &str, holds: impl AsyncFn(&Stage) -> Result<bool>) -> Result<()> {
        let start = Instant::now();
        while !holds(&self.stage).await? {
            if start.elapsed() > PATIENCE {
                let logs = self.etcds.as_ref().map(Etcds::logs).unwrap_or_default();
                let now = Vec::from_iter(picture(&self.stage).await?).join("\n");
                bail!("never: {what}; there is\n{now}\n{logs}");
            }
            self.look().await?;
        }
        Ok(())
    }

    async fn look(&mut self) -> Result<()> {
        if let Some(etcds) = &mut self.etcds {
            etcds.look().await?;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        Ok(())
    }

    /// Nobody writes for a while.
    async fn quiet(&mut self) -> Result<()> {
        let (start, mut before, mut since) = (Instant::now(), self.manager.writes().len(), Instant::now());
        while since.elapsed() < QUIET {
            self.look().await?;
            let now = self.manager.writes().len();
            if now != before {
                (before, since) = (now, Instant::now());
            }
            if start.elapsed() > PATIENCE {
                bail!("not quiet: {now} writes by now");
            }
        }
        Ok(())
    }

    /// A way-station: the cluster is as wanted, nobody has anything left to do, and the objects are those of the
    /// undisturbed life.
    pub async fn arrives(
        &mut self,
        station: &'static str,
        wanted: impl Fn(&HostedCluster) -> bool,
    ) -> Result<()> {
        self.until(station, async |stage| {
            Ok(stage.clusters().get_opt("one").await?.is_some_and(|one| wanted(&one)))
        })
        .await?;
        self.rests(station).await
    }

    /// Nobody has anything left to do, and the objects are those of the undisturbed life.
    pub async fn rests(&mut self, station: &'static str) -> Result<()> {
        self.quiet().await?;
        let mut now = picture(&self.stage).await?;
        if let Some((name, wanted)) = self.next_station().await? {
            ensure!(name == station, "{station} comes where {name} was");
            let start = Instant::now();
            while now != wanted {
                ensure!(start.elapsed() < PATIENCE / 4, "{station}:\n{}", difference(&wanted, &now));
                self.look().await?;
                now = picture(&self.stage).await?;
            }
        }
        self.stations.push((station, now));
        if let Road::Ahead(tell) = &self.road {
            tell.send_replace(self.stations.clone());
        }
        Ok(())
    }

    /// What the undisturbed life found where this one is now; its own is the first to know.
    async fn next_station(&mut self) -> Result<Option<Station>> {
        let number = self.stations.len();
        loop {
            let Road::Behind(told) = &self.road else { return Ok(None) };
            let station = told.borrow().get(number).cloned();
            if station.is_some() {
                return Ok(station);
            }
            ensure!(told.has_changed().is_ok(), "the undisturbed life has no station {number}");
            self.look().await?;
        }
    }

    /// The cluster goes; nothing is left of it but this.
    pub async fn leaves(&mut self, left: &[&str]) -> Result<()> {
        let left: Picture = left.iter().map(|line| (*line).to_owned()).collect();
        self.until("only what was to stay is left", async |stage| Ok(picture(stage).await? == left)).await?;
        self.rests("deleted").await
    }
}
