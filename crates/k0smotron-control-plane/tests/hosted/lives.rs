//! The same story in several lives: one in which the manager is never killed, and others in which it is killed again
//! and again. At each way-station, and in the end, they must hold the same.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use api::HostedCluster;
use futures::future::try_join_all;

use crate::etcds::Etcds;
use crate::mortal::{Killed, Mortal};
use crate::picture::{Picture, difference, picture};
use crate::stage::Stage;
use crate::witness::Witness;

/// Much longer than any step takes, with several lives at once on a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);
/// Longer than any timer of the controllers but those for people (scale-down delay, child that does not answer).
const QUIET: Duration = Duration::from_millis(1500);

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
#[derive(Clone, Default)]
pub struct Course {
    pub stations: Vec<(&'static str, Picture)>,
    pub seen: BTreeMap<String, usize>,
    pub deaths: usize,
}

/// More lives at once would only wait for each other.
const AT_ONCE: usize = 8;

impl Course {
    /// The way in words: what each station changed.
    fn told(&self) -> String {
        let mut before = &Picture::new();
        let mut told = String::new();
        for (station, now) in &self.stations {
            told += &format!("{station}:\n{}", difference(before, now));
            before = now;
        }
        told
    }
}

/// One life of cluster `one`.
pub struct Life {
    pub stage: Stage,
    pub etcds: Option<Etcds>,
    manager: Mortal,
    witness: Witness,
    wanted: Option<Course>,
    course: Course,
}

/// Lives the story once undisturbed, and then with every fate. The undisturbed course comes first.
pub async fn every_life(
    stage: &Stage,
    fates: &[Killed],
    story: impl AsyncFn(&mut Life) -> Result<()>,
) -> Result<Vec<Course>> {
    let one = async |killed: Killed, wanted: Option<Course>| -> Result<Course> {
        let start = Instant::now();
        let name = format!("{killed:?}").to_lowercase().replace(['(', ')'], "-");
        let stage = stage.beside(&format!("life-{}", name.trim_end_matches('-'))).await?;
        let mut life = Life {
            manager: Mortal::start(stage.managers.clone(), killed),
            witness: Witness::of(&stage, "one"),
            etcds: None,
            course: Course::default(),
            wanted,
            stage,
        };
        let told = story(&mut life).await;
        let (deaths, writes) = (life.manager.deaths(), life.manager.writes());
        println!("{killed:?}: {writes} writes by {} processes in {:.1?}", deaths + 1, start.elapsed());
        told.with_context(|| format!("{killed:?}, {writes} writes by {} processes", deaths + 1))?;
        (life.course.seen, life.course.deaths) = (life.witness.counts(), deaths);
        Ok(life.course)
    };
    let undisturbed = one(Killed::Never, None).await?;
    println!("{}", undisturbed.told());
    let mut courses = vec![undisturbed.clone()];
    for some in fates.chunks(AT_ONCE) {
        let lives = some.iter().map(|killed| one(*killed, Some(undisturbed.clone())));
        courses.extend(try_join_all(lives).await?);
    }
    for (course, killed) in courses.iter().zip([Killed::Never].iter().chain(fates)) {
        ensure!(course.stations.len() == undisturbed.stations.len(), "{killed:?}: a station is missing");
        ensure!(
            course.deaths > 0 || matches!(killed, Killed::Never | Killed::OnceAfterWrite(_)),
            "{killed:?}: nobody was killed"
        );
        // H-9: an authority had one content, whoever was killed when.
        let authority = |name: &str| name.starts_with("Secret ");
        let differs: Vec<_> = course.seen.iter().filter(|(name, n)| authority(name) && **n != 1).collect();
        ensure!(differs.is_empty(), "{killed:?}: an authority changed: {differs:?}");
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
        let (start, mut before, mut since) = (Instant::now(), self.manager.writes(), Instant::now());
        while since.elapsed() < QUIET {
            self.look().await?;
            let now = self.manager.writes();
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
        if let Some(wanted) = &self.wanted {
            let (name, wanted) = wanted.stations[self.course.stations.len()].clone();
            ensure!(name == station, "{station} comes where {name} was");
            let start = Instant::now();
            while now != wanted {
                ensure!(start.elapsed() < PATIENCE / 4, "{station}:\n{}", difference(&wanted, &now));
                self.look().await?;
                now = picture(&self.stage).await?;
            }
        }
        self.course.stations.push((station, now));
        Ok(())
    }

    /// The cluster goes; nothing is left of it but this.
    pub async fn leaves(&mut self, left: &[&str]) -> Result<()> {
        let left: Picture = left.iter().map(|line| (*line).to_owned()).collect();
        self.until("only what was to stay is left", async |stage| Ok(picture(stage).await? == left)).await?;
        self.rests("deleted").await
    }
}
