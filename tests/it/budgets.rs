//! What each tenant may use of a host, over all of its workers, and how the machine is shared out.

use std::io::Read;

use crate::support::{Tenants, behaviours, wait_for};

#[test]
fn a_tenants_concurrency_and_queue_hold_over_all_workers() {
    let tenant = "[[tenant]]\nname = \"a\"\nlimits.concurrency = 3\nlimits.queue = 2\nlimits.queue_timeout = \"300ms\"\n";
    let host = Tenants::serving(&format!("{tenant}{}", behaviours("a", "check = \"/hello\"")));
    let mut running: Vec<_> = (0..3).map(|_| host.ask("a.test", "/sleep-in-call/3")).collect();
    wait_for("they do not run", || (host.tenant("a")["running"] == 3).then_some(()));
    let answers: Vec<_> = std::thread::scope(|scope| {
        let asking: Vec<_> = (0..6).map(|_| scope.spawn(|| host.get("a.test", "/hello"))).collect();
        asking.into_iter().map(|asked| asked.join().unwrap()).collect()
    });
    assert!(answers.iter().all(|reply| reply.code() == 503 && reply.field("retry-after") == Some("1")));
    let requests = host.tenant("a")["apps"][0]["requests"].clone();
    assert_eq!((requests["queue_timeout"].as_u64(), requests["queue_full"].as_u64()), (Some(2), Some(4)), "{requests}");
    for stream in &mut running {
        stream.read_to_end(&mut Vec::new()).unwrap();
    }
    wait_for("places are left", || {
        let tenant = host.tenant("a");
        (tenant["running"] == 0 && tenant["waiting"] == 0 && tenant["instances"] == 0 && tenant["memory_bytes"] == 0).then_some(())
    });
    assert_eq!(host.get("a.test", "/hello").text(), "hello\n");
}

#[test]
fn a_request_for_which_the_tenants_other_instances_leave_no_place_is_refused_and_says_so() {
    let tenant = "[[tenant]]\nname = \"a\"\nlimits.concurrency = 3\nlimits.instances = 2\n";
    let host = Tenants::serving(&format!("{tenant}{}", behaviours("a", "check = \"/hello\"")));
    let mut running: Vec<_> = (0..2).map(|_| host.ask("a.test", "/slow")).collect();
    wait_for("they do not run", || (host.tenant("a")["instances"] == 2).then_some(()));
    let reply = host.get("a.test", "/hello");
    assert_eq!((reply.code(), reply.field("retry-after")), (503, Some("1")));
    let ended: Vec<_> = running.iter_mut().map(|stream| stream.read_to_end(&mut Vec::new()).is_ok()).collect();
    assert_eq!(ended, [true, true], "those who have a place are answered");
    wait_for("they do not end", || (host.tenant("a")["running"] == 0).then_some(()));
    let requests = host.tenant("a")["apps"][0]["requests"].clone();
    assert_eq!(requests, serde_json::json!({ "ok": 2, "no_instance": 1 }));
    assert_eq!(host.get("a.test", "/hello").text(), "hello\n");
}

#[test]
fn an_application_that_traps_again_and_again_is_cooled_down_and_its_neighbour_is_not() {
    let apps = format!(
        "{}{}",
        behaviours("bad", "check = \"/hello\"\nlimits.max_traps = 5\nlimits.cool_down = \"1s\""),
        behaviours("good", "check = \"/hello\"")
    );
    let host = Tenants::serving(&apps);
    let codes: Vec<_> = (0..4).map(|_| host.get("bad.test", "/trap-in-call").code()).collect();
    assert_eq!(codes, [500; 4]);
    assert_eq!(host.get("bad.test", "/hello").code(), 200, "under the limit");
    assert_eq!(host.get("bad.test", "/trap-in-call").code(), 500);
    wait_for("it is not cooled down", || (host.get("bad.test", "/hello").code() == 503).then_some(()));
    assert_eq!(host.get("good.test", "/hello").text(), "hello\n");
    wait_for("its log does not say so", || host.tenant_log("bad").contains("it is cooled down for 1 s").then_some(()));
    wait_for("it stays cooled down", || (host.get("bad.test", "/hello").code() == 200).then_some(()));
}

#[test]
fn a_response_is_sent_under_and_at_its_limit_and_broken_off_over_it() {
    let host = Tenants::serving(&behaviours("a", "check = \"/hello\"\nlimits.max_response = 6"));
    assert_eq!(host.get("a.test", "/hello").text(), "hello\n");
    let over = host.get("a.test", "/large");
    assert!(over.code() == 500 && over.text().starts_with("internal server error\n"), "{} {}", over.code(), over.text());
    wait_for("the log says nothing", || host.tenant_log("a").contains("longer than the limit of 6 bytes").then_some(()));
}

#[test]
fn a_tenants_share_of_the_machine_is_held() {
    let tenant = "[[tenant]]\nname = \"a\"\nlimits.cpu_share = 20\n";
    let host = Tenants::serving(&format!("{tenant}{}", behaviours("a", "check = \"/hello\"\nlimits.guest_cpu = \"400ms\"")));
    let before = host.tenant("a")["cpu_s"].as_f64().unwrap();
    let began = std::time::Instant::now();
    assert_eq!(host.get("a.test", "/loop-in-call").code(), 504);
    let (took, used) = (began.elapsed().as_secs_f64(), host.tenant("a")["cpu_s"].as_f64().unwrap() - before);
    // 400 ms at a fifth of a core are two seconds; without the share, less than half of one. A tick more fits in each window.
    assert!(took > 1.0 && (0.3..0.6).contains(&used), "{used} s of CPU in {took} s");
}

/// Ends those who ask again and again, also where the test fails.
struct Ending<'a>(&'a std::sync::atomic::AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, std::sync::atomic::Ordering::Relaxed);
    }
}

/// Of a worker: connections, and with them requests, are shared out by their number.
#[test]
fn who_has_three_times_the_weight_gets_three_times_the_cpu_of_a_worker_beside_a_third_who_is_asked_now_and_then() {
    let loops = "check = \"/hello\"\nlimits.guest_cpu = \"200ms\"\nlimits.max_traps = 1000";
    let apps = ["light", "heavy", "other"].map(|tenant| behaviours(tenant, loops)).concat();
    let weight = "[[tenant]]\nname = \"heavy\"\nlimits.weight = 300\n";
    let host = Tenants::hosting("workers = 1", "", &format!("{weight}{apps}"));
    let used = || ["light", "heavy"].map(|tenant| host.tenant(tenant)["cpu_s"].as_f64().unwrap());
    let ended = std::sync::atomic::AtomicBool::new(false);
    let [light, heavy] = std::thread::scope(|scope| {
        let _ending = Ending(&ended);
        for tenant in ["light.test", "heavy.test"].repeat(4) {
            let (host, ended) = (&host, &ended);
            scope.spawn(move || {
                while !ended.load(std::sync::atomic::Ordering::Relaxed) {
                    assert_eq!(host.get(tenant, "/loop-in-call").code(), 504);
                }
            });
        }
        wait_for("they do not run", || ["light", "heavy"].iter().all(|tenant| host.tenant(tenant)["running"] == 4).then_some(()));
        let before = used();
        let after = wait_for("the heavy one gets nothing", || {
            assert_eq!(host.get("other.test", "/hello").text(), "hello\n");
            let now = used();
            (now[1] - before[1] > 1.5).then_some(now)
        });
        [after[0] - before[0], after[1] - before[1]]
    });
    assert!((2.0..4.5).contains(&(heavy / light)), "{light} s and {heavy} s");
}
