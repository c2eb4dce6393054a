//! A host of the dynamic module that is no Envoy: it calls the module's hooks as Envoy does, from a main thread and from workers,
//! and judges whether every stream becomes what it must. Under memcheck it is told besides what the module does to memory.
//!
//! `stub-host MODULE [REQUESTS] [--seed N] [--workers N] [--panics] [--verbose]`. With `--panics`, which needs a module that
//! panics on demand, some streams name a hook in which they are to. The variable `POSTERN_PANIC` has one hook panic, once.

mod abi;
mod callouts;
mod configurations;
mod connections;
mod counted;
mod events;
mod frames;
mod log;
mod random;
mod script;
mod session;
mod stream;
mod streams;
mod tally;
mod worker;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use configurations::Configurations;
use events::Target;
use random::Random;
use tally::Tally;

/// How many configurations are pushed, one after the other.
const PUSHES: u64 = 10;

/// A number of requests of which some have the module inject frames.
const MANY: u64 = 1000;

/// What the program was asked to do.
#[derive(Debug)]
struct Arguments {
    module: PathBuf,
    requests: u64,
    seed: u64,
    workers: u64,
    panics: bool,
}

fn arguments() -> Result<Arguments, String> {
    let mut arguments = std::env::args().skip(1);
    let module = arguments.next().ok_or("which module?")?.into();
    let mut asked = Arguments { module, requests: 10_000, seed: 1, workers: 2, panics: false };
    let number = |text: Option<String>| {
        text.and_then(|text| text.parse().ok()).ok_or_else(|| "a number is missing".to_owned())
    };
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--seed" => asked.seed = number(arguments.next())?,
            "--workers" => asked.workers = number(arguments.next())?,
            "--panics" => asked.panics = true,
            "--verbose" => log::be_verbose(),
            _ => asked.requests = number(Some(argument))?,
        }
    }
    Ok(asked)
}

fn main() -> ExitCode {
    let ran = arguments().and_then(|asked| abi::load(&asked.module).map(|()| run(&asked)));
    match ran {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(problem) => {
            eprintln!("stub-host: {problem}");
            ExitCode::FAILURE
        }
    }
}

/// Plays all streams, and says whether all became what they must.
fn run(asked: &Arguments) -> bool {
    let begun = Instant::now();
    let mut configurations = Configurations::new();
    if !configurations.has_any() {
        // As Envoy does when it is told again.
        configurations.push();
    }
    let workers: Vec<_> = (0..asked.workers)
        .map(|worker| {
            let (requests, seed, panics) = (asked.requests, asked.seed * 1000 + worker, asked.panics);
            thread::spawn(move || worker::run(requests, seed, panics))
        })
        .collect();
    serve(&mut configurations, &workers, asked);
    let mut tally = Tally::default();
    for worker in workers {
        match worker.join() {
            Ok(of_worker) => tally.add(&of_worker),
            Err(_) => log::broken("a worker has panicked".to_owned()),
        }
    }
    take_last_events(&configurations);
    configurations.destroy_all();
    judge(&tally, asked);
    report(&tally, begun.elapsed())
}

/// Does what the main thread does for as long as there are workers.
fn serve(configurations: &mut Configurations, workers: &[JoinHandle<Tally>], asked: &Arguments) {
    let (mut random, mut pushed) = (Random::new(asked.seed), 0);
    while !workers.iter().all(JoinHandle::is_finished) {
        take_events(configurations);
        callouts::answer(configurations, &mut random);
        let due = worker::BEGUN.load(Ordering::Relaxed) * PUSHES / asked.requests.max(1);
        if pushed < due.min(PUSHES) {
            pushed += 1;
            configurations.push();
        }
        configurations.destroy_unused();
        thread::sleep(Duration::from_millis(1));
    }
}

/// Takes events until the module has told what it has counted last: its ticks come four times a second.
fn take_last_events(configurations: &Configurations) {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(1) {
        take_events(configurations);
        thread::sleep(Duration::from_millis(1));
    }
}

fn take_events(configurations: &Configurations) {
    while let Some((target, event)) = events::next() {
        match target {
            Target::Configuration(handle) => {
                if let Some(configuration) = configurations.find(handle) {
                    abi::module().config_scheduled(handle, configuration.in_module, event);
                }
            }
            Target::Stream(_) => log::broken("an event of a stream came to the main thread".to_owned()),
        }
    }
}

/// Judges what the module has counted, and what it has left behind.
fn judge(tally: &Tally, asked: &Arguments) {
    for gauge in ["connections", "waiting", "parked_streams", "held_bytes"] {
        let left = counted::sum(&format!("postern_{gauge}"), &[]);
        if left != 0 {
            log::broken(format!("postern_{gauge} is {left}, and no stream is left"));
        }
    }
    if counted::sum("postern_closes", &[]) < i64::try_from(tally.ended).unwrap_or(i64::MAX) {
        log::broken("not every Close was counted".to_owned());
    }
    if tally.injected == 0 && asked.requests >= MANY {
        log::broken("no frame of the module's was injected".to_owned());
    }
    if asked.panics {
        judge_panics_of_streams(tally);
    } else if let Ok(hook) = std::env::var("POSTERN_PANIC") {
        let panics = log::panics();
        if panics.len() != 1 || panics.get(&hook) != Some(&1) {
            log::broken(format!("{hook} was to panic once: {panics:?}"));
        }
    } else if !log::panics().is_empty() {
        log::broken(format!("the module has panicked: {:?}", log::panics()));
    }
}

/// Judges whether each hook has panicked, and whether the streams that were cut or answered for it were counted.
fn judge_panics_of_streams(tally: &Tally) {
    let panics = log::panics();
    for hook in script::PANICKING.iter().filter(|hook| !panics.contains_key(**hook)) {
        log::broken(format!("{hook} has never panicked"));
    }
    let of = |hooks: &[&str]| -> u64 { hooks.iter().filter_map(|hook| panics.get(*hook)).sum() };
    // A stream that has ended, or has a Close, is counted once and no more.
    let uncounted = of(&["stream_complete", "destroy"]);
    let counted = of(&script::PANICKING) - uncounted;
    let certain = counted.saturating_sub(of(&["scheduled"]) + tally.own_panics);
    let internal = u64::try_from(internal()).unwrap_or(0);
    if !(certain..=counted).contains(&internal) {
        log::broken(format!("{internal} streams count as internal, and {certain} to {counted} were"));
    }
}

/// Returns how many streams have ended by a fault of the module's, as it counts them.
fn internal() -> i64 {
    let by = [("reason", "internal")];
    counted::sum("postern_closes", &by) + counted::sum("postern_handshakes", &by)
}

fn report(tally: &Tally, time: Duration) -> bool {
    let Tally { requests, passed, answered, cut, ended, pings, injected, kept, panicked, .. } = tally;
    println!(
        "stub-host: {requests} requests in {:.1} s: {passed} passed whole, {answered} answered, {cut} cut, {ended} ended by an \
         error of a peer's, {panicked} asked to panic, {pings} messages with Pings between, {injected} frames \
         injected and {kept} that another filter kept, {} calls; {} harmed, {} faults",
        time.as_secs_f64(),
        callouts::made(),
        log::harmed_streams(),
        log::faults(),
    );
    println!(
        "stub-host: counted: {} handshakes allowed, {} refused, {} closes, {} internal; {} schedulers left; panics {:?}",
        counted::sum("postern_handshakes", &[("result", "allowed")]),
        counted::sum("postern_handshakes", &[("result", "refused")]),
        counted::sum("postern_closes", &[]),
        internal(),
        events::schedulers(),
        log::panics(),
    );
    // A panic that no stream has asked for may cost one.
    let may_harm = usize::from(std::env::var_os("POSTERN_PANIC").is_some());
    log::faults() == 0 && log::harmed_streams() <= may_harm
}
