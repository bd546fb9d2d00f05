use std::collections::BTreeSet;

use super::*;

fn guard() -> Guard {
    Guard::new(&[]).unwrap()
}

/// Hosts that are not the Internet, in every way of writing that some parser understands.
const HOSTS: &[(&str, &str)] = &[
    (
        "loopback, in dotted, short, decimal, octal, hexadecimal and mixed form",
        "127.0.0.1 127.0.0.1. 127.1 127.0.1 127.255.255.254 127.127.127.127 2130706433 2130706433.
         0x7f000001 0X7F000001 0x7F.1 0x7f.0x0.0x0.0x1 0x7f.0.0.1 0177.0.0.1 0177.0.0.01
         00177.0000.0000.0001 017700000001 0177.1 127.0x1 127.0.0x0001 0x7f.0.1 127.00.00.01 0x007f.1
         127.0.0.0x1 127.0x0.1 127.16777215 0177.0x0.0.1 127.0.00000000000001 0x00000000007f000001",
    ),
    (
        "the unspecified address, which many systems take for loopback",
        "0 0.0.0.0 0.0 0x0 00 000.000.000.000 0. 0.1.2.3 0.255.255.255",
    ),
    (
        "metadata and the other endpoints of link-local",
        "169.254.169.254 169.254.169.254. 2852039166 0xa9fea9fe 0xA9FEA9FE 025177524776
         0251.0376.0251.0376 0xa9.0xfe.0xa9.0xfe 169.254.43518 169.16689662 0xa9.254.0251.254
         169.0xfea9fe 0251.254.169.254 169.254.0xa9fe 169.254.169.0376 169.254.170.2 169.254.170.23
         169.254.0.0 169.254.255.255 169.254.100.1 168.63.129.16 2822734096",
    ),
    (
        "private networks and their borders",
        "10.0.0.0 10.0.0.5 10.255.255.255 10.1 167772161 0xa000001 0x0a.0.0.1 012.0.0.1 012.1 0xA.1
         10.0x5 012.5 172.16.0.0 172.16.0.1 172.31.255.255 172.20.1.1 2886729729 0xac100001 0254.020.0.1
         172.0x10.0.1 172.1048577 192.168.0.0 192.168.0.1 192.168.255.255 192.168.1 3232235521 0xc0a80001
         0300.0250.0.1 0xc0.0xa8.0.1 192.11010049 030052000001",
    ),
    (
        "shared, reserved, documentation, benchmarks",
        "100.64.0.0 100.64.0.1 100.127.255.255 100.100.100.200 1681915905 0x64.0x40.0.1 192.0.0.0
         192.0.0.1 192.0.0.7 192.0.0.8 192.0.0.170 192.0.0.192 192.0.2.1 192.0.2.255 198.51.100.1
         198.51.100.255 203.0.113.0 203.0.113.9 192.88.99.1 192.88.99.255 198.18.0.0 198.18.0.1
         198.19.255.255",
    ),
    (
        "multicast, class E, broadcast",
        "224.0.0.0 224.0.0.1 239.255.255.250 240.0.0.0 240.0.0.1 250.1.2.3 255.255.255.254
         255.255.255.255 4294967295 0xffffffff 037777777777 0xe0000001",
    ),
    (
        "digits and dots that become ASCII when a host is normalized",
        "①②⑦.⓪.⓪.① ①②⑦。⓪。⓪。① 127。0。0。1 127．0．0．1 127｡0｡0｡1 １２７.０.０.１ １６９.２５４.１６９.２５４ １０.０.０.５ 𝟭𝟮𝟳.𝟬.𝟬.𝟭
         𝟙𝟚𝟟.𝟘.𝟘.𝟙 ¹²⁷.⁰.⁰.¹ ₁₂₇.₀.₀.₁ ⓪ⓧ⑦ⓕ⓪⓪⓪⓪⓪① ０x７f.1 0ｘ7f.1 ②①③⓪⑦⓪⑥④③③ 192。168｡0．1 169。254。169。254
         127.0.0.1%2e %31%32%37.0.0.1 127%2e0%2e0%2e1 %31%32%37%2e%30%2e%30%2e%31 %30 0%78%37f.1
         %65%39.example%2f@127.0.0.1 1\u{ad}27.0.0.1 127.0.0\u{200b}.1 127\u{2024}0.0.1 12\u{2060}7.0.0.1",
    ),
    (
        "IPv6: unspecified, loopback, in all their lengths",
        "[::] [::0] [0:0:0:0:0:0:0:0] [::1] [0:0:0:0:0:0:0:1] [0000::0001] [0:0::1] [::0001] [::0.0.0.1]
         [0000:0000:0000:0000:0000:0000:0000:0001]",
    ),
    (
        "IPv4 inside of IPv6: mapped, compatible, translated, tunnelled",
        "[::ffff:127.0.0.1] [::FFFF:127.0.0.1] [::ffff:7f00:1] [0:0:0:0:0:ffff:127.0.0.1]
         [::ffff:7f00:0001] [::ffff:a9fe:a9fe] [::ffff:169.254.169.254] [::ffff:10.0.0.5]
         [::ffff:192.168.0.1] [::ffff:172.16.0.1] [::ffff:100.64.0.1] [::ffff:0.0.0.0] [::ffff:0:0]
         [0:0:0:0:0:FFFF:0a00:0001] [::ffff:8.8.8.8] [::ffff:0:127.0.0.1] [::ffff:0:7f00:1] [::127.0.0.1]
         [::7f00:1] [::169.254.169.254] [::a9fe:a9fe] [::10.0.0.1] [::8.8.8.8] [64:ff9b::127.0.0.1]
         [64:ff9b::7f00:1] [64:ff9b::a9fe:a9fe] [64:ff9b::169.254.169.254] [64:ff9b::10.0.0.1]
         [64:FF9B::a00:1] [64:ff9b:1::127.0.0.1] [64:ff9b:1:ffff::a00:1] [64:ff9b::8.8.8.8]
         [2002:7f00:1::] [2002:7f00:0001::1] [2002:a9fe:a9fe::1] [2002:a00:1::] [2002:c0a8:1::c0a8:1]
         [2002:ac10:1::] [2002:808:808::] [2001::1] [2001:0:7f00:1::]
         [2001:0:4136:e378:8000:63bf:80ff:fffe] [2001:0:a9fe:a9fe::] [::5efe:127.0.0.1]
         [fe80::5efe:10.0.0.1]",
    ),
    (
        "local, link-local, site-local, multicast, metadata over IPv6",
        "[fc00::] [fc00::1] [fd00::1] [fd00:ec2::254] [fd00:ec2::23] [FD00:EC2::254] [fd20:ce::254]
         [fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff] [fd12:3456:789a:1::1] [fe80::] [fe80::1]
         [fe80::a9fe:a9fe] [febf:ffff::1] [FE80::1] [fec0::1] [feff::1] [ff00::] [ff01::1] [ff02::1]
         [ff02::2] [ff05::1:3] [ff0e::1] [ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]",
    ),
    (
        "documentation, discard, benchmarks, identifiers, and what nobody has been given",
        "[2001:db8::] [2001:db8::1] [2001:DB8:ffff::1] [3fff::1] [3fff:fff::1] [100::] [100::1]
         [100:0:0:1::1] [2001:2::1] [2001:10::1] [2001:20::1] [2001:1::1] [2001:3::1] [2001:4:112::1]
         [5f00::1] [4000::1] [1::1] [1fff::1] [8000::1] [a000::1] [200::1]",
    ),
    (
        "zones and other things that are no address at all",
        "[fe80::1%25eth0] [fe80::1%eth0] [::1%25lo] [::1 [::1]x ::1 [127.0.0.1] [::ffff:127.0.0.1.]
         [::ffff:0177.0.0.1] [] [v1.fe80::a] 256.256.256.256 127.0.0.1.1 0x7f.0.0.0.1 4294967296
         0x100000000 08.8.8.8 1.2.3.09 . .. %00 127.0.0.1%00.acme.test acme<.test acme|.test",
    ),
];

/// URLs that are wrong in some other part.
const URLS: &str = "
    jira.acme.test //jira.acme.test/ /jira.acme.test https: https:// https:///
    http://jira.acme.test/ HTTP://jira.acme.test/ http://jira.acme.test:443/ ftp://jira.acme.test/
    file:///etc/passwd file://jira.acme.test/etc/passwd gopher://jira.acme.test:80/_GET
    dict://jira.acme.test:443/ ldap://jira.acme.test:443/ ws://jira.acme.test/ wss://jira.acme.test/
    data:text/plain,x javascript:alert(1) jar:https://jira.acme.test/!/
    view-source:https://jira.acme.test/ unix:/run/x.sock blob:https://jira.acme.test/x about:blank
    tftp://jira.acme.test:80/ https://jira.acme.test:22/ https://jira.acme.test:0/
    https://jira.acme.test:25/ https://jira.acme.test:6379/ https://jira.acme.test:8000/
    https://jira.acme.test:9001/ https://jira.acme.test:65535/ https://jira.acme.test:65536/
    https://jira.acme.test:x/ https://jira.acme.test:-1/ https://jira.acme.test:443x/
    https://bo@jira.acme.test/ https://bo:pw@jira.acme.test/ https://:pw@jira.acme.test/
    https://bo%40x@jira.acme.test/ https://jira.acme.test@bo.test/
    https://jira.acme.test%40x@bo.test/ https://jira.acme.test:443@bo.test/
    https://jira.acme.test@127.0.0.1/ https://jira.acme.test:443@127.0.0.1:443/
    https://127.0.0.1#@jira.acme.test/ https://127.0.0.1?@jira.acme.test/
    https://127.0.0.1/@jira.acme.test/ https://127.0.0.1:443#.jira.acme.test/ https:127.0.0.1
    https:/127.0.0.1 https:///127.0.0.1 https:////127.0.0.1//x https:\\\\127.0.0.1\\
    https://jira.acme.test\\@127.0.0.1/ https://127.0.0.1\\@jira.acme.test/
    https:\\\\jira.acme.test\\ https://jira.acme.test\\.bo.test/ https://①②⑦.⓪.⓪.①:443/
    https://2130706433:8443/ https://[::1]:8443/ https://0x7f.1:8080/ hTTpS://127.0.0.1/
    https://127.0.0.1:00443/ https://127.0.0.1:/";

/// URLs with what no URL has.
const SPACED: &[&str] = &[
    "",
    " https://jira.acme.test/",
    "https://jira.acme.test/ ",
    "ht\ntps://jira.acme.test/",
    "https://jira.acme\t.test/",
    "https://127.0.\n0.1/",
    "https://jira.acme.test/\r\nHost: x",
    "https://jira.acme.test/a b",
    "https://jira.acme.test/\u{0}",
    "https://\u{a0}jira.acme.test/",
    "https://jira.acme.test\u{2028}/",
    "\u{feff}https://127.0.0.1/",
    "https:///",
    "https://a b/",
    "https://acme.test\t/",
];

#[test]
fn no_way_of_writing_a_forbidden_address_passes() {
    let guard = guard();
    let hosts = HOSTS
        .iter()
        .flat_map(|(_, hosts)| hosts.split_ascii_whitespace());
    let urls: BTreeSet<_> = hosts
        .map(|host| format!("https://{host}/"))
        .chain(URLS.split_ascii_whitespace().map(str::to_owned))
        .chain(SPACED.iter().map(|url| (*url).to_owned()))
        .collect();
    assert!(urls.len() >= 350, "{}", urls.len());
    let passed: Vec<_> = urls
        .iter()
        .filter(|url| guard.admits_url(url).is_some())
        .collect();
    assert_eq!(passed, Vec::<&String>::new());
}

#[test]
fn what_is_written_well_passes_as_the_parser_understands_it() {
    let guard = guard();
    for (written, understood) in [
        ("https://jira.acme.test", "https://jira.acme.test/"),
        (
            "https://JIRA.Acme.Test:443/Ctx",
            "https://jira.acme.test/Ctx",
        ),
        (
            "https://jira.acme.test:8443/a?b=c#d",
            "https://jira.acme.test:8443/a?b=c",
        ),
        ("https://jira.acme.test:80/", "https://jira.acme.test:80/"),
        (
            "https://jira.acme.test:8080/",
            "https://jira.acme.test:8080/",
        ),
        ("https://jira.acme.test./", "https://jira.acme.test./"),
        (
            "https://bücher.acme.test/",
            "https://xn--bcher-kva.acme.test/",
        ),
        ("https://8.8.8.8/", "https://8.8.8.8/"),
        ("https://134744072/", "https://8.8.8.8/"),
        ("https://[2606:4700::1111]/", "https://[2606:4700::1111]/"),
        // Who it is is known only when it is resolved.
        ("https://localhost/", "https://localhost/"),
        ("https://127.0.0.1.nip.io/", "https://127.0.0.1.nip.io/"),
    ] {
        let url = guard.admits_url(written).map(String::from);
        assert_eq!(url.as_deref(), Some(understood), "{written}");
    }
}

#[test]
fn the_borders_of_every_network_are_where_they_should_be() {
    let public = |text: &str| is_public(text.parse().unwrap());
    for inside in [
        "1.0.0.0",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "168.63.129.15",
        "168.63.129.17",
        "169.253.255.255",
        "169.255.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "191.255.255.255",
        "192.0.1.0",
        "192.0.3.0",
        "192.88.98.255",
        "192.88.100.0",
        "192.167.255.255",
        "192.169.0.0",
        "198.17.255.255",
        "198.20.0.0",
        "198.51.99.255",
        "198.51.101.0",
        "203.0.112.255",
        "203.0.114.0",
        "223.255.255.255",
        "2000::",
        "2001:200::",
        "2001:db7:ffff::",
        "2001:db9::",
        "2003::",
        "3ffe::",
        "3fff:1000::",
    ] {
        assert!(public(inside), "{inside}");
    }
    for outside in [
        "1fff:ffff::",
        "4000::",
        "2001:1ff:ffff::",
        "2002:ffff::",
        "3fff:fff:ffff::",
    ] {
        assert!(!public(outside), "{outside}");
    }
}

#[test]
fn every_mapped_form_of_an_ipv4_address_is_refused() {
    for (network, _) in RESERVED_V4 {
        assert!(!is_public(network.into()), "{network}");
        assert!(!is_public(network.to_ipv6_mapped().into()), "{network}");
        assert!(!is_public(network.to_ipv6_compatible().into()), "{network}");
    }
}

#[test]
fn one_forbidden_address_among_many_is_enough() {
    let guard = guard();
    let admits = |addresses: &[&str]| {
        let addresses: Vec<_> = addresses
            .iter()
            .map(|address| SocketAddr::new(address.parse().unwrap(), 443))
            .collect();
        guard.admits_addresses("jira.acme.test", 443, &addresses)
    };
    assert!(admits(&["8.8.8.8", "2606:4700::1111"]));
    for hostile in [
        "127.0.0.1",
        "169.254.169.254",
        "10.0.0.5",
        "::1",
        "::ffff:10.0.0.5",
        "fd00:ec2::254",
        "fe80::1",
        "64:ff9b::a9fe:a9fe",
        "0.0.0.0",
        "::",
    ] {
        assert!(!admits(&[hostile]), "{hostile}");
        assert!(!admits(&["8.8.8.8", hostile]), "{hostile}");
        assert!(!admits(&[hostile, "2606:4700::1111"]), "{hostile}");
    }
    assert!(!admits(&[]));
}

#[test]
fn an_exception_is_for_its_host_and_its_port_alone() {
    let allowed = ["Jira.Internal", "10.0.0.5:7990", "[fd00::5]:8080"].map(String::from);
    let guard = Guard::new(&allowed).unwrap();
    let admits = |url: &str| guard.admits_url(url).is_some();
    for good in [
        "http://jira.internal/",
        "https://JIRA.internal./",
        "http://jira.internal:8080/",
        "http://10.0.0.5:7990/",
        "https://10.0.0.5:7990/",
        "http://[fd00::5]:8080/",
        "https://jira.acme.test/",
    ] {
        assert!(admits(good), "{good}");
    }
    for bad in [
        "http://jira.internal:7990/",
        "http://x.jira.internal/",
        "http://jira.internal.acme.test/",
        "http://10.0.0.5/",
        "https://10.0.0.5/",
        "https://10.0.0.6:7990/",
        "http://[fd00::6]:8080/",
        "http://bo@jira.internal/",
        "ftp://jira.internal/",
        "http://jira.acme.test/",
    ] {
        assert!(!admits(bad), "{bad}");
    }
    let private = [SocketAddr::from(([10, 0, 0, 9], 80))];
    assert!(guard.admits_addresses("jira.internal", 80, &private));
    assert!(!guard.admits_addresses("jira.internal", 22, &private));
    assert!(!guard.admits_addresses("jira.acme.test", 80, &private));
}

#[test]
fn an_exception_that_is_no_host_is_a_mistake() {
    for bad in ["", "http://x", "x/y", "bo@x", "x:y", "a b"] {
        let refused = Guard::new(&[String::from("ok.test"), bad.to_owned()]);
        assert_eq!(refused.err(), Some(bad.to_owned()), "{bad}");
    }
}
