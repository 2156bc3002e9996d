//! Whether the time that a refused log-in takes tells what was wrong with it.

use std::time::Instant;

use daybook::grpc::proto::auth::{LogInRequest, auth_service_client::AuthServiceClient};

use crate::{
    Outcome,
    bed::Bed,
    report::{Report, Row, met},
    seed::PASSWORD,
    tell,
};

/// Log-ins of each class, in turn.
const EACH: usize = 2_000;
const QUICK: usize = 100;
/// Accounts of each class: each fails a few times only, far from any delay.
const ACCOUNTS: usize = 500;
/// How far from one half the classes may be told apart.
const TOLERANCE: f64 = 0.03;
/// How far apart the medians may be.
const GAP: f64 = 0.02;

/// What is wrong with a log-in.
const CLASSES: [&str; 3] = ["unknown", "wrong", "disabled"];

/// Interleaved log-ins of one caller, so that whatever else happens on the machine meets all classes.
pub(crate) async fn measure(bed: &Bed, report: &mut Report) -> Outcome {
    let each = if bed.settings.is_quick { QUICK } else { EACH };
    tell(&format!("{each} log-ins each that are refused"));
    let disable = |disabled: bool| {
        format!(
            "UPDATE users SET disabled = {disabled} WHERE email LIKE 'provider-%'
                AND substring(email from '[0-9]+')::int >= {ACCOUNTS}"
        )
    };
    bed.cluster.sql(bed.small.database, &disable(true)).await?;
    let mut client = AuthServiceClient::new(bed.small.service.connect_once().await?);
    let mut micros = CLASSES.map(|_| Vec::with_capacity(each));
    for round in 0..each + each / 10 {
        // Which class comes first changes from round to round.
        for turn in 0..CLASSES.len() {
            let class = (round + turn) % CLASSES.len();
            let account = round % ACCOUNTS;
            let (email, password) = match class {
                0 => (format!("nobody-{round:04}@example.com"), PASSWORD),
                1 => (format!("provider-{account}@example.com"), "correct horse battery stapler"),
                _ => (format!("provider-{}@example.com", account + ACCOUNTS), PASSWORD),
            };
            let password = password.to_owned();
            let request = LogInRequest { email, password, ..LogInRequest::default() };
            let began = Instant::now();
            let answer = client.log_in(request).await;
            let took = began.elapsed().as_secs_f64() * 1e6;
            let code = answer.err().map(|status| status.code());
            if code != Some(tonic::Code::Unauthenticated) {
                return Err(format!("a log-in was answered {code:?}").into());
            }
            // The first tenth warms up.
            if round >= each / 10 {
                micros[class].push(took);
            }
        }
    }
    bed.cluster.sql(bed.small.database, &disable(false)).await?;
    for times in &mut micros {
        times.sort_unstable_by(f64::total_cmp);
    }
    for (one, other) in [(0, 1), (1, 2), (0, 2)] {
        let apart = area(&micros[one], &micros[other]);
        let (first, second) = (median(&micros[one]), median(&micros[other]));
        let gap = (first - second).abs() / first.max(second);
        report.row(Row {
            figure: format!(
                "refused log-ins told apart by time: {}, {}",
                CLASSES[one], CLASSES[other]
            ),
            goal: format!("AUC 0.5 ± {TOLERANCE}, medians ≤ {} % apart", GAP * 100.0),
            measured: format!(
                "AUC {apart:.3}; {:.2} and {:.2} ms, {:.2} %",
                first / 1000.0,
                second / 1000.0,
                gap * 100.0
            ),
            met: met((apart - 0.5).abs() <= TOLERANCE && gap <= GAP),
            ..Row::default()
        });
    }
    Ok(())
}

/// The chance that one of the first is longer than one of the second (Mann and Whitney): one half when
/// nobody can tell them apart. Both sorted.
fn area(one: &[f64], other: &[f64]) -> f64 {
    let wins = |value: &f64| {
        let less = other.partition_point(|o| o < value);
        let ties = other.partition_point(|o| o <= value) - less;
        float(less) + float(ties) / 2.0
    };
    one.iter().map(wins).sum::<f64>() / (float(one.len()) * float(other.len()))
}

fn median(sorted: &[f64]) -> f64 {
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

#[expect(clippy::cast_precision_loss, reason = "a few thousand")]
fn float(count: usize) -> f64 {
    count as f64
}
