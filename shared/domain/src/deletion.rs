//! The deletion of a project, or of a whole organization: what is asked for, how far it has come, and what comes next.
//!
//! It goes through stages, each a list of rows. When all are through, it goes through them once more, later
//! than anything can still run that began before the rows were gone, and ends with a pass that finds nothing.
//! The first pass is never the last one.

use serde::{Deserialize, Serialize};

use crate::{GroupId, Organization, OrganizationId, Project, ProjectId, Slug, Timestamp, UserId};

/// How long after one pass the next begins, in milliseconds: longer than any function runs, so that
/// whatever read a row before it was deleted has written what it writes.
pub const QUIET: i64 = 120_000;

/// When a deletion that nobody works on is late, in milliseconds after it was due.
const LATE: i64 = 15 * 60_000;
/// When a deletion that somebody worked on is stuck, in milliseconds after the last batch.
const STUCK: i64 = 24 * 3_600_000;

/// What a deletion is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeletionRef {
    /// The organization.
    pub organization: OrganizationId,
    /// A project of it; `None`: the organization itself, with all its projects.
    pub project: Option<ProjectId>,
}

/// The deletion of one project or organization, from the request until some time after its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deletion {
    /// What goes.
    #[serde(flatten)]
    pub of: DeletionRef,
    /// Names the deletion.
    pub guid: String,
    /// The slug that it had, and has again if the deletion is undone.
    pub slug: Slug,
    /// Who asked for it; `None` is an organization's token.
    pub actor: Option<UserId>,
    /// When it was asked for.
    pub requested: Timestamp,
    /// When it is to begin.
    pub due: Timestamp,
    /// When it came on last, or was sent again.
    pub touched: Timestamp,
    /// Where it is.
    pub status: DeletionStatus,
    /// Counts the batches, from the millisecond of the request on. A message is about one of them, and of no
    /// use after it, nor for a later deletion if this one is undone.
    pub step: u64,
    /// Which time the stages are gone through, from 1.
    pub pass: u32,
    /// The stage's name.
    pub stage: String,
    /// The last row of the stage that is done.
    pub cursor: Option<String>,
    /// How many items this pass has deleted.
    pub deleted: u64,
    /// How many rows are done.
    pub done: u64,
    /// How many rows there are to be done, as far as was known at the beginning.
    pub estimate: u64,
    /// Why the last batch did not succeed, in words for people; `None` after one that did.
    pub last_error: Option<String>,
}

/// Where a deletion is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeletionStatus {
    /// Nothing is deleted yet: it can be undone.
    Pending,
    /// Some of it is gone.
    InProgress,
    /// All of it is gone.
    Finished,
}

/// What became of some rows of a stage.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeletedRows {
    /// How many of them are done.
    pub done: u64,
    /// How many items went, theirs and themselves.
    pub deleted: u64,
    /// The groups that are gone now.
    pub groups: Vec<GroupId>,
    /// The last of them that is done; `None` where none is.
    pub cursor: Option<String>,
    /// Whether the stage has more.
    pub more: bool,
    /// Whether somebody else has to be done first with what is left of the stage.
    pub waits: bool,
}

/// What comes after some rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// More rows, of this stage or the next one.
    Rows,
    /// The same rows, [`QUIET`] later: others are at work on them.
    Wait,
    /// All stages once more, [`QUIET`] later.
    Pass,
    /// Nothing: a whole pass after the first one deleted nothing.
    End,
}

impl Deletion {
    /// The deletion of a project that is asked for now, under a name of random bits.
    pub fn requested(
        project: &Project,
        actor: Option<UserId>,
        due: Timestamp,
        now: Timestamp,
        random: u128,
    ) -> Self {
        let of = DeletionRef {
            organization: project.organization,
            project: Some(project.id),
        };
        Self::new(of, &project.slug, actor, (due, now), random)
    }

    /// The deletion of an organization that is asked for now, under a name of random bits.
    pub fn of_organization(
        organization: &Organization,
        actor: Option<UserId>,
        due: Timestamp,
        now: Timestamp,
        random: u128,
    ) -> Self {
        let of = DeletionRef {
            organization: organization.id,
            project: None,
        };
        Self::new(of, &organization.slug, actor, (due, now), random)
    }

    fn new(
        of: DeletionRef,
        slug: &Slug,
        actor: Option<UserId>,
        (due, now): (Timestamp, Timestamp),
        random: u128,
    ) -> Self {
        Self {
            of,
            guid: format!("{random:032x}"),
            slug: slug.clone(),
            actor,
            requested: now,
            due,
            touched: now,
            status: DeletionStatus::Pending,
            step: now.millis().unsigned_abs(),
            pass: 0,
            stage: String::new(),
            cursor: None,
            deleted: 0,
            done: 0,
            estimate: 0,
            last_error: None,
        }
    }

    /// The beginning of the work, on a project that made so many groups.
    pub fn begin(&self, groups: u64, stages: &[&str], now: Timestamp) -> Self {
        Self {
            status: DeletionStatus::InProgress,
            pass: 1,
            stage: first(stages),
            // Each group has a fingerprint, and is looked at in two passes.
            estimate: 3 * groups + 1,
            ..self.touched(now)
        }
    }

    /// Takes note of rows that are done, and says what comes next.
    pub fn note(&mut self, rows: DeletedRows, stages: &[&str]) -> Next {
        self.done += rows.done;
        self.deleted += rows.deleted;
        self.last_error = None;
        if rows.waits {
            return Next::Wait;
        }
        if rows.more {
            self.cursor = rows.cursor.or(self.cursor.take());
            return Next::Rows;
        }
        self.cursor = None;
        let mut names = stages.iter();
        // A stage that this version of the bundle does not know of any more: the pass begins anew.
        let next = match names.any(|name| *name == self.stage) {
            true => names.next(),
            false => stages.first(),
        };
        if let Some(next) = next {
            self.stage = (*next).to_owned();
            return Next::Rows;
        }
        // Whoever read a row before the project was hidden may write until the second pass.
        if self.deleted == 0 && self.pass > 1 {
            return Next::End;
        }
        self.deleted = 0;
        self.pass += 1;
        self.stage = first(stages);
        Next::Pass
    }

    /// The same after one more batch.
    pub fn touched(&self, now: Timestamp) -> Self {
        Self {
            step: self.step + 1,
            touched: now,
            ..self.clone()
        }
    }

    /// The same, to begin now if it was to begin later.
    pub fn hurried(&self, now: Timestamp) -> Self {
        Self {
            due: self.due.min(now),
            touched: now,
            ..self.clone()
        }
    }

    /// Whether its message seems to be lost, so that it is to be sent again.
    pub fn is_late(&self, now: Timestamp) -> bool {
        match self.status {
            DeletionStatus::Pending => now >= self.due.max(self.touched).plus(LATE),
            DeletionStatus::InProgress => now >= self.touched.plus(STUCK),
            DeletionStatus::Finished => false,
        }
    }

    /// How much of it is done, in per cent. It never falls, and is 100 at the end alone.
    pub fn progress(&self) -> u64 {
        match self.status {
            DeletionStatus::Pending => 0,
            DeletionStatus::InProgress => (self.done * 100 / self.estimate.max(1)).min(99),
            DeletionStatus::Finished => 100,
        }
    }
}

fn first(stages: &[&str]) -> String {
    stages.first().copied().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{NewProject, TeamId};

    const STAGES: [&str; 2] = ["keys", "groups"];

    fn deletion() -> Deletion {
        let at = Timestamp::from_millis(0);
        let project = NewProject {
            organization: OrganizationId::new(1).unwrap(),
            name: "Web".into(),
            platform: None,
            team: TeamId::new(3).unwrap(),
            created: at,
        };
        let project = project.project(ProjectId::new(2).unwrap(), "web".parse().unwrap());
        Deletion::requested(&project, None, at, at, 10)
    }

    fn rows(done: u64, deleted: u64, cursor: Option<&str>) -> DeletedRows {
        DeletedRows {
            done,
            deleted,
            groups: Vec::new(),
            cursor: cursor.map(str::to_owned),
            more: cursor.is_some(),
            waits: false,
        }
    }

    #[test]
    fn it_ends_after_a_pass_that_deletes_nothing_and_never_says_less_than_before() {
        let mut work = deletion().begin(2, &STAGES, Timestamp::from_millis(1));
        let mut said = vec![work.progress()];
        let mut passes = Vec::new();
        for (of, then) in [
            (rows(1, 2, None), Next::Rows),
            (rows(1, 9, Some("1")), Next::Rows),
            (rows(1, 9, None), Next::Pass),
            (rows(0, 0, None), Next::Rows),
            (rows(2, 2, None), Next::Pass),
            (rows(0, 0, None), Next::Rows),
            (rows(0, 0, None), Next::End),
        ] {
            assert_eq!(work.note(of, &STAGES), then);
            said.push(work.progress());
            passes.push((work.pass, work.stage.clone()));
        }
        assert_eq!(said, [0, 14, 28, 42, 42, 71, 71, 71]);
        assert_eq!(passes[0], (1, "groups".to_owned()));
        assert_eq!(passes[2], (2, "keys".to_owned()));
        work.status = DeletionStatus::Finished;
        assert_eq!(work.progress(), 100);
    }

    #[test]
    fn a_stage_that_waits_for_others_is_looked_at_again() {
        let mut work = deletion().begin(2, &STAGES, Timestamp::from_millis(1));
        let waits = DeletedRows {
            waits: true,
            ..rows(3, 3, None)
        };
        assert_eq!(work.note(waits, &STAGES), Next::Wait);
        assert_eq!((work.stage.as_str(), work.deleted), ("keys", 3));
    }

    #[test]
    fn more_rows_than_were_expected_are_not_the_end() {
        let mut work = deletion().begin(0, &STAGES, Timestamp::from_millis(1));
        work.note(rows(5, 5, None), &STAGES);
        assert_eq!(work.progress(), 99);
    }

    #[test]
    fn a_stage_that_is_no_more_begins_the_pass_anew() {
        let mut work = deletion().begin(0, &["old"], Timestamp::from_millis(1));
        assert_eq!(work.note(rows(0, 0, None), &STAGES), Next::Rows);
        assert_eq!(work.stage, "keys");
    }

    #[test]
    fn a_first_pass_that_finds_nothing_is_not_the_last() {
        let mut work = deletion().begin(0, &STAGES, Timestamp::from_millis(1));
        for then in [Next::Rows, Next::Pass, Next::Rows, Next::End] {
            assert_eq!(work.note(rows(0, 0, None), &STAGES), then);
        }
    }

    #[test]
    fn a_message_is_missed_after_a_quarter_of_an_hour_and_a_batch_after_a_day() {
        let pending = deletion();
        let late = |work: &Deletion, at| work.is_late(Timestamp::from_millis(at));
        assert!(!late(&pending, LATE - 1) && late(&pending, LATE));
        let delayed = Deletion {
            due: Timestamp::from_millis(STUCK),
            ..deletion()
        };
        assert!(!late(&delayed, STUCK + LATE - 1) && late(&delayed, STUCK + LATE));
        let work = pending.begin(1, &STAGES, Timestamp::from_millis(0));
        assert!(!late(&work, STUCK - 1) && late(&work, STUCK));
    }
}
