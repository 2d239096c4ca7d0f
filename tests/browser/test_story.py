"""The main story in a real browser: account, first website, trouble, somebody has it, over."""

from __future__ import annotations

from playwright.async_api import expect

from browser.conftest import EMAIL, PASSWORD, Reader, Site


async def test_from_nothing_to_a_resolved_incident(reader: Reader, site: Site) -> None:
    page = reader.page
    await reader.go("/")
    assert page.url.endswith("/setup")
    await page.fill("#f-email", EMAIL)
    await page.fill("#f-password", "short")
    await page.click("button.primary")
    await expect(page.locator("#e-password")).to_contain_text("8 to 1024 characters")
    assert await page.input_value("#f-email") == EMAIL
    await page.fill("#f-password", PASSWORD)
    await page.click("button.primary")
    await page.wait_for_url("**/setup/monitor")

    await page.fill("#f-address", site.url("/health"))
    await page.click("text=Try it")
    await expect(page.locator("[data-tried=ok]")).to_contain_text("It answers: 200")
    await page.locator(".seg label", has_text="1 s").first.click()
    await page.click("text=Watch it")
    await page.wait_for_url("**/setup/channel")
    await page.fill("[name='config.url']", site.url("/hook"))
    await page.click("text=Save and send a test")
    await expect(page.locator("#tested")).to_contain_text("The test arrived")
    assert "/hook" in site.seen
    await page.click("text=Go to the overview")

    await expect(page.locator("h1")).to_have_text("All quiet.")
    await expect(page.locator("#live")).to_contain_text("last result")
    stay = await page.evaluate("window.stay = Math.random()")

    site.code = 503
    await expect(page.locator(".strip h2")).to_contain_text("/health is down")
    await expect(page.locator("h1")).to_have_text(f"127.0.0.1:{site.port}/health is down.")
    await expect(page).to_have_title("1 open · Overview · Tocsin")
    assert "bell-ring" in (await page.get_attribute("link[rel=icon]", "href") or "")
    assert await page.evaluate("window.stay") == stay, "the page was loaded again"

    await page.keyboard.press("a")
    await expect(page.locator(".strip")).to_contain_text(f"Acknowledged by {EMAIL}")
    await page.click(".strip h2 a")
    await expect(page.locator("h1")).to_contain_text("is down")
    await page.fill("#f-text", "looking <b>into</b> it")
    await page.click("text=Add note")
    await expect(page.locator("#timeline .quote")).to_have_text("looking <b>into</b> it")

    site.code = 200
    await expect(page.locator("h1")).to_contain_text("is up again")
    await expect(page.locator("#timeline")).to_contain_text("Resolved")
    await expect(page).not_to_have_title("1 open")
    await reader.go("/")
    await expect(page.locator("h1")).to_have_text("All quiet.")
    assert [c for c in reader.complaints if "422" not in c] == []


async def test_what_is_closed_by_hand_is_never_said_to_be_up(reader: Reader, site: Site) -> None:
    page = reader.page
    await reader.begin()
    site.code = 503
    wanted = {"name": "Shop", "type": "http", "target": {"url": site.url()}, "interval_s": 1, "timeout_s": 0.5}
    made = await reader.call("/monitors", wanted | {"retries": 0})
    await reader.go("/")
    await page.click(".strip h2 a")
    await page.click("#resolve")
    await expect(page.locator("h1")).to_have_text("Shop: closed by hand, still down")
    await expect(page.locator("#timeline")).to_contain_text(f"Closed by hand by {EMAIL}")
    await expect(page.locator("#timeline")).not_to_contain_text("resolved by")
    for path in ("/", f"/monitors/{made['id']}"):
        await reader.go(path)
        await expect(page.locator("#strips, #held").first).to_contain_text("nobody is told until it has been up")
    site.code = 200
    await expect(page.locator("#held")).to_have_count(0)
    await page.click("#history a[href^='/incidents/']:not(.push)")
    await expect(page.locator("h1")).to_have_text("Shop: closed")


async def test_figures_say_how_much_of_the_time_is_known(reader: Reader, site: Site) -> None:
    page = reader.page
    await reader.begin()
    wanted = {"name": "", "type": "http", "target": {"url": site.url()}, "interval_s": 1, "timeout_s": 0.5}
    made = await reader.call("/monitors", wanted | {"name": "Shop"})
    await reader.go("/")
    row = page.locator(".watchlist .group .r")
    await expect(row.locator(".under").first).to_contain_text("of ")
    assert "0.0" in (await row.locator("[title^=Known]").first.get_attribute("title") or "")
    await reader.go(f"/monitors/{made['id']}")
    await expect(page.locator(".vitals")).to_contain_text("only; of all the time 0.0")
    shown = await page.locator(".vitals div", has_text="uptime, 24 h").locator("dd").inner_text()
    assert shown == "100 %"


async def test_a_wrong_present_password_is_said_at_its_field(reader: Reader) -> None:
    page = reader.page
    await reader.begin()
    await reader.go("/settings")
    for current, new, wrong in (("not it", PASSWORD + "!", "#e-current"), (PASSWORD, "short", "#e-new")):
        await page.fill("#f-current", current)
        await page.fill("#f-new", new)
        await page.click("form[action='/settings/password'] button")
        await expect(page.locator(".err")).to_have_count(1)
        await expect(page.locator(wrong)).to_be_visible()
    await page.fill("#f-current", PASSWORD)
    await page.fill("#f-new", PASSWORD + "!")
    await page.click("form[action='/settings/password'] button")
    await expect(page.locator("#done")).to_contain_text("Password changed")


async def test_a_monitor_without_a_name_is_called_after_its_address(reader: Reader, site: Site) -> None:
    page = reader.page
    await reader.begin()
    await reader.call("/channels", {"name": "Ops", "type": "webhook", "config": {"url": site.url("/hook")}})
    await reader.go("/monitors/new")
    await reader.ready()
    box = page.locator("input[name=channels]")
    await expect(box).to_be_disabled()
    await page.click("text=Chosen ones")
    await expect(box).to_be_enabled()
    await page.fill("[name='target.url']", site.url("/shop"))
    await page.click("text=Save paused")
    await expect(page.locator("h1")).to_have_text(f"127.0.0.1:{site.port}/shop")


async def test_a_small_screen_leads_everywhere(reader: Reader) -> None:
    page = reader.page
    await reader.begin()
    await page.set_viewport_size({"width": 390, "height": 800})
    await reader.go("/")
    await page.click("[aria-label='New monitor']")
    await page.wait_for_url("**/monitors/new")
    await page.click(".tabbar >> text=Settings")
    for word, path in (("Audit log", "audit"), ("System", "system")):
        await page.click(f".tabs >> text={word}")
        await page.wait_for_url(f"**/settings/{path}")
    await page.click("[aria-label='Find or do anything'] >> visible=true")
    await expect(page.locator("#palette input")).to_be_visible()
    await expect(page.locator("#palette > footer")).to_be_hidden()


async def test_sign_in_says_no_and_comes_back_to_where_one_was_going(reader: Reader, site: Site) -> None:
    await reader.begin()
    await reader.go("/settings")
    await reader.page.click("text=Sign out here")
    await reader.page.wait_for_url("**/login")
    await reader.go("/settings/system")
    assert reader.page.url.endswith("/login?next=%2Fsettings%2Fsystem")
    await reader.page.fill("#f-email", EMAIL)
    await reader.page.fill("#f-password", "not the one")
    await reader.page.click("button.primary")
    await expect(reader.page.locator("[role=alert]")).to_contain_text("do not match")
    await reader.page.fill("#f-password", PASSWORD)
    await reader.page.click("button.primary")
    await reader.page.wait_for_url("**/settings/system")
    for hostile in ("//evil.example", "https://evil.example", "/\\\\evil.example", "javascript:alert(1)"):
        await reader.go(f"/login?next={hostile}")
        assert reader.page.url == reader.url + "/"


async def test_a_monitor_is_made_changed_paused_and_deleted_by_its_pages(reader: Reader, site: Site) -> None:
    page = reader.page
    await reader.begin()
    await reader.go("/monitors/new")
    await page.fill("[name='target.url']", site.url("/shop"))
    await page.fill("[name=name]", "Shop")
    await page.fill("[name=tags]", "prod, web")
    await page.click("#add-assertion")
    await page.fill("[name='assertion.value'] >> nth=0", "200-299")
    await expect(page.locator("#plain-words")).to_contain_text("the status is one of 200-299")
    await page.click("#try")
    await expect(page.locator("[data-tried=ok]")).to_be_visible()
    await page.fill("[name=interval_s]", "0")
    await page.click("text=Save and start")
    await expect(page.locator("#e-interval_s")).to_contain_text("whole number from 1")
    assert await page.input_value("[name=name]") == "Shop"
    await page.fill("[name=interval_s]", "3600")
    await page.fill("[name=timeout_s]", "5")
    await page.click("text=Save and start")
    await expect(page.locator("h1")).to_have_text("Shop")
    await page.click("#run")
    await expect(page.locator("#results")).to_contain_text("200")
    await expect(page.locator("#plot canvas")).to_be_visible()
    await page.click("text=Edit >> nth=0")
    await page.fill("[name=name]", "Shop front")
    await page.click("text=Save >> nth=0")
    await expect(page.locator("h1")).to_have_text("Shop front")
    await reader.ready()
    await page.keyboard.press("p")
    await expect(page.locator(".toast")).to_contain_text("Paused.")
    await page.click(".toast button")
    await expect(page.locator("#pause")).to_have_text("Pause")
    assert [c for c in reader.complaints if "422" not in c] == []
    await page.click("text=Delete …")
    await page.wait_for_url(reader.url + "/")
    assert reader.dialogs == ["Delete Shop front? Its results go, its incidents stay as history."]
    await expect(page.locator("h1")).to_have_text("Nothing is watched yet.")
    # Its page may ask once more for what is gone before the other one is there.
    assert [c for c in reader.complaints if "422" not in c and "404" not in c] == []


async def test_another_check_type_brings_its_own_fields_words_and_assertions(reader: Reader) -> None:
    page = reader.page
    await reader.begin()
    await reader.go("/monitors/new")
    await reader.ready()
    await page.click("label.pick:has([value=push])")
    await expect(page.locator("#f-failure_threshold")).to_have_value("1")
    await expect(page.locator("#plain-words")).to_contain_text("A job should call us every 1 h")
    await expect(page.locator("#add-assertion")).to_have_count(0)
    await page.click("label.pick:has([value=dns])")
    await expect(page.locator("#f-failure_threshold")).to_have_value("2")
    await expect(page.locator("#plain-words")).not_to_contain_text("the status is 200 to 299")
    await page.fill("[name='target.name']", "example.org")
    await page.click("#add-assertion")
    await page.select_option("#assertions [name='assertion.type']", "response_time_ms")
    await expect(page.locator("#assertions [name='assertion.op']")).to_have_value("lt")
    await page.fill("#assertions [name='assertion.value']", "50")
    await expect(page.locator("#plain-words")).to_contain_text("the total time under 50 ms")
    await page.click("#assertions [data-remove]")
    await expect(page.locator("#assertions .assertion")).to_have_count(0)
    await page.click("text=Nobody")
    await expect(page.locator("#plain-words")).not_to_contain_text("the total time")
    assert reader.complaints == []


async def test_keys_find_filter_and_move(reader: Reader, site: Site) -> None:
    page = reader.page
    await reader.begin()
    for name in ("Alpha", "Beta", "Gamma"):
        await reader.call(
            "/monitors", {"name": name, "type": "http", "target": {"url": site.url()}, "interval_s": 3600}
        )
    await reader.go("/")
    await expect(page.locator(".watchlist .r[data-st=up]")).to_have_count(3)
    await reader.go("/")  # all are up now, so they stand by their names and none moves
    await reader.ready()
    await page.keyboard.press("j")
    await page.keyboard.press("j")
    await expect(page.locator("a.name:focus b")).to_have_text("Beta")
    await page.keyboard.press("k")
    await page.keyboard.press("Enter")
    await expect(page.locator("h1")).to_have_text("Alpha")
    await reader.ready()
    await page.keyboard.press("g")
    await page.keyboard.press("i")
    await page.wait_for_url("**/incidents")
    await reader.ready()
    await page.keyboard.press("Control+k")
    await page.keyboard.type("gam")
    await expect(page.locator("#found [aria-selected=true]")).to_contain_text("Gamma")
    await page.keyboard.press("Enter")
    await expect(page.locator("h1")).to_have_text("Gamma")
    await reader.go("/")
    await reader.ready()
    await page.keyboard.press("/")
    await page.keyboard.type("bet")
    await expect(page.locator(".watchlist .group .r:visible")).to_have_count(1)
    await page.keyboard.type("zzz")
    await expect(page.locator("#no-match")).to_be_visible()
    await page.click("[data-clear]")
    await expect(page.locator(".watchlist .group .r:visible")).to_have_count(3)
    assert reader.complaints == []


async def test_an_api_key_is_shown_once_and_can_be_revoked(reader: Reader) -> None:
    page = reader.page
    await reader.begin()
    await reader.go("/settings")
    await page.fill("[name=name]", "deploy")
    await page.click("text=Make key")
    key = await page.inner_text("#made pre")
    assert key.startswith("tcs_")
    await reader.go("/settings")
    assert key not in await page.content()
    await page.click("text=Revoke …")
    await expect(page.locator("#api-keys")).to_contain_text("revoked")
