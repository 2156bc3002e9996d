//! Whether the time of an answer tells who has an account: refused log-ins, sign-ups where addresses are
//! verified, and requests for a new password.

use std::time::Instant;

use daybook::grpc::proto::auth::{
    LogInRequest, RequestPasswordResetRequest, Role, SignUpRequest,
    auth_service_client::AuthServiceClient, email_service_client::EmailServiceClient,
};

use crate::{
    Outcome,
    bed::Bed,
    load::Random,
    process::Process,
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
/// Whose address something is asked for.
const MAILED: [&str; 3] = ["nobody's", "somebody's", "a disabled account's"];

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
    compare(report, "refused log-ins", CLASSES, &mut micros);
    mailed(bed, each, report).await?;
    bed.cluster.sql(bed.small.database, &disable(false)).await?;
    Ok(())
}

/// What strangers may ask for an address, on a server that sends mail.
async fn mailed(bed: &Bed, each: usize, report: &mut Report) -> Outcome {
    let settings = [
        ("DAYBOOK_MAIL_TRANSPORT", "folder"),
        ("DAYBOOK_AUTH_VERIFY_EMAIL", "true"),
        ("DAYBOOK_LOG_LEVEL", "error"),
    ];
    let url = bed.cluster.url(bed.small.database);
    let service = Process::daybook_with(&bed.folder, &url, &settings).await?;
    let channel = service.connect_once().await?;
    let (mut auth, mut email) =
        (AuthServiceClient::new(channel.clone()), EmailServiceClient::new(channel));
    let (mut resets, mut sign_ups) = (MAILED.map(|_| Vec::new()), MAILED.map(|_| Vec::new()));
    let mut nexts = MAILED.map(|_| Vec::new());
    tell(&format!("{each} sign-ups and requests for a new password each"));
    let mut random = Random::new(0);
    for round in 0..each + each / 10 {
        // In any order: what a call leaves to be done meets the next one, whoever that is about.
        for class in shuffled(&mut random) {
            let account = round % ACCOUNTS;
            let address = addressed(class, account);
            let request = RequestPasswordResetRequest { email: address, ..Default::default() };
            let began = Instant::now();
            email.request_password_reset(request).await?;
            let reset = began.elapsed().as_secs_f64() * 1e6;
            // What is seen by whoever asks for something else right afterwards.
            let probe = format!("probe-{round}-{class}@example.com");
            let request = RequestPasswordResetRequest { email: probe, ..Default::default() };
            let began = Instant::now();
            email.request_password_reset(request).await?;
            let next = began.elapsed().as_secs_f64() * 1e6;
            if round >= each / 10 {
                resets[class].push(reset);
                nexts[class].push(next);
            }
        }
        for class in shuffled(&mut random) {
            let account = round % ACCOUNTS;
            let address = addressed(class, account);
            let request = SignUpRequest {
                display_name: "Somebody".to_owned(),
                email: address,
                password: PASSWORD.to_owned(),
                role: Role::Customer.into(),
                time_zone: "UTC".to_owned(),
                ..Default::default()
            };
            let began = Instant::now();
            auth.sign_up(request).await?;
            let signed_up = began.elapsed().as_secs_f64() * 1e6;
            if round >= each / 10 {
                sign_ups[class].push(signed_up);
            }
        }
    }
    compare(report, "requests for a new password", MAILED, &mut resets);
    compare(report, "what follows such a request", MAILED, &mut nexts);
    compare(report, "sign-ups", MAILED, &mut sign_ups);
    Ok(())
}

/// An address of this class, as often as those of others: what is sent to an address is counted.
fn addressed(class: usize, account: usize) -> String {
    match class {
        0 => format!("nobody-{account}@example.com"),
        1 => format!("provider-{account}@example.com"),
        _ => format!("provider-{}@example.com", account + ACCOUNTS),
    }
}

/// The classes in any order.
fn shuffled(random: &mut Random) -> [usize; 3] {
    const ORDERS: [[usize; 3]; 6] =
        [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    ORDERS[random.below(6) as usize]
}

fn compare(report: &mut Report, what: &str, classes: [&str; 3], micros: &mut [Vec<f64>; 3]) {
    for times in &mut *micros {
        times.sort_unstable_by(f64::total_cmp);
    }
    for (one, other) in [(0, 1), (1, 2), (0, 2)] {
        let apart = area(&micros[one], &micros[other]);
        let (first, second) = (median(&micros[one]), median(&micros[other]));
        let gap = (first - second).abs() / first.max(second);
        report.row(Row {
            figure: format!("{what} told apart by time: {}, {}", classes[one], classes[other]),
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
