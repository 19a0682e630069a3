//! `configure --watch`: the same, and what comes after.

use std::io;
use std::time::Instant;

use service_cli::configure::{Watch, agrees};
use service_cli::twin::Section;
use service_cli::{Change, Progress, Twin};

use super::{ConfigureArgs, Story, end, tell_end, wanted};
use crate::args::Format;
use crate::commands::live::{self, Limits};
use crate::commands::{Failure, Session, Verdict};

/// Ends when somebody asks the program to stop, or when nobody reads any more.
pub(super) fn run(
    session: &mut Session<'_>,
    args: &ConfigureArgs,
    change: Change,
) -> Result<Verdict, Failure> {
    let (client, device) = (session.client.clone(), args.device.clone());
    let story = Story { out: &mut session.out, args, last: None, interrupted: false };
    let mut watching = Watching { story, before: None, asked: Instant::now() };
    live::listen(Limits::default(), async |listening| {
        let asking = live::blocking(move || Watch::start(&client, &device, &change));
        let Ok(asked) = listening.open(asking).await else { return Ok(Verdict::Yes) };
        let mut watch = asked?;
        watching.tell(Progress::Before(watch.before()))?;
        watching.tell(Progress::Asked(watch.twin()))?;
        loop {
            let looking = live::blocking(move || {
                let seen = watch.changed().map(drop);
                (watch, seen)
            });
            let Ok(looked) = listening.next(looking).await else { return Ok(Verdict::Yes) };
            watch = looked.0;
            match looked.1 {
                Ok(()) => watching.tell(Progress::Changed(watch.twin()))?,
                Err(why) if why.is_transient() => watching.tell(Progress::Retrying(&why))?,
                Err(why) => return Err(why.into()),
            }
        }
    })
}

/// The story of one request after the other.
struct Watching<'a> {
    story: Story<'a>,
    /// The twin before the present request.
    before: Option<Twin>,
    /// When that was seen.
    asked: Instant,
}

impl Watching<'_> {
    fn tell(&mut self, progress: Progress<'_>) -> io::Result<()> {
        if self.story.out.format() == Format::Json {
            return self.line(progress);
        }
        match progress {
            Progress::Before(twin) => {
                self.before = Some(twin.clone());
                self.story.tell(progress)
            }
            Progress::Asked(twin) => {
                self.asked = Instant::now();
                self.story.tell(progress)?;
                self.agreement(agrees(twin), twin)
            }
            Progress::Changed(twin) => {
                let last = self.story.last.clone();
                let asked = last.as_ref().is_none_or(|last| !asks_the_same(last, twin));
                if asked {
                    self.asked = Instant::now();
                    self.before = last.clone();
                    let line = format!("somebody else asked for {}", wanted(twin));
                    self.story.out.title(&line)?;
                    self.story.absence(twin)?;
                }
                self.story.tell(progress)?;
                let is_new = asked || last.is_none_or(|last| !agrees(&last));
                self.agreement(is_new && agrees(twin), twin)
            }
            Progress::Retrying(_) => self.story.tell(progress),
        }
    }

    /// For scripts: the twin with every change, as `twin watch` has it.
    fn line(&mut self, progress: Progress<'_>) -> io::Result<()> {
        match progress {
            Progress::Asked(twin) | Progress::Changed(twin) => {
                self.story.out.document_line(&twin.to_value())
            }
            Progress::Before(_) | Progress::Retrying(_) => Ok(()),
        }
    }

    fn agreement(&mut self, is_news: bool, twin: &Twin) -> io::Result<()> {
        match &self.before {
            Some(before) if is_news => {
                let end = end(&self.story.args.device, self.asked.elapsed(), true);
                tell_end(self.story.out, &end, before, twin)
            }
            _ => Ok(()),
        }
    }
}

fn asks_the_same(one: &Twin, other: &Twin) -> bool {
    let same =
        |name| one.property(Section::Desired, name) == other.property(Section::Desired, name);
    same("configId") && same("sendFrequency")
}
