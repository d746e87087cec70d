"""The fault script: what it takes, what it refuses and how it says so."""

import pytest

from server.gemini.faults import FaultKind, FaultScript, FaultScriptError, FaultWindow


def test_a_script_reads_in_order():
    script = FaultScript.parse("""
        [[fault]]
        at_s = 20
        for_s = 15
        kind = "rate-limit"
        share = 0.3
        retry_after_s = 45.8

        [[fault]]
        kind = "slow"
        factor = 5
    """)

    assert script.fault == (
        FaultWindow(kind=FaultKind.RATE_LIMIT, at_s=20, for_s=15, share=0.3, retry_after_s=45.8),
        FaultWindow(kind=FaultKind.SLOW, factor=5),
    )


def test_every_kind_can_be_scripted():
    toml = "\n".join(
        f'[[fault]]\nshare = 0.5\nkind = "{kind}"\n{"factor = 2" if kind == "slow" else ""}' for kind in FaultKind
    )

    assert [window.kind for window in FaultScript.parse(toml).fault] == list(FaultKind)


@pytest.mark.parametrize(
    ("windows", "stretches"),
    [
        ([], []),
        ([(5, 3), (5, 3), (20, 1)], [(5, 8), (20, 21)]),
        ([(6, 4), (5, 3), (10, 2)], [(5, 12)]),
        ([(1, 9), (2, 3), (30, None), (40, 1)], [(1, 10), (30, None)]),
    ],
)
def test_the_stretches_with_faults_are_told_once_each(windows, stretches):
    toml = "\n".join(
        f'[[fault]]\nkind = "hang"\nshare = 0.5\nat_s = {at}\n' + (f"for_s = {length}" if length else "")
        for at, length in windows
    )
    assert FaultScript.parse(toml).disturbed_s() == stretches


@pytest.mark.parametrize(
    ("toml", "place"),
    [
        ("fault =", "not TOML"),
        ("[[faults]]", "faults"),
        ("fault = 3", "fault"),
        ("[[fault]]\nat_s = 1", "fault.1.kind"),
        ('[[fault]]\nkind = "explode"', "fault.1.kind"),
        ('[[fault]]\nkind = "hang"\n[[fault]]\nkind = "hang"\nshare = 1.5', "fault.2.share"),
        ('[[fault]]\nkind = "hang"\nshare = 0', "fault.1.share"),
        ('[[fault]]\nkind = "hang"\nat_s = -1', "fault.1.at_s"),
        ('[[fault]]\nkind = "hang"\nat_s = nan', "fault.1.at_s"),
        ('[[fault]]\nkind = "hang"\nfor_s = 0', "fault.1.for_s"),
        ('[[fault]]\nkind = "hang"\nfro_s = 1', "fault.1.fro_s"),
        ('[[fault]]\nkind = "hang"\nretry_after_s = 1', "fault.1"),
        ('[[fault]]\nkind = "slow"', "fault.1"),
        ('[[fault]]\nkind = "reset"\nfactor = 2', "fault.1"),
        ('[fault]\nkind = "hang"', "fault"),
        ("fault = [1, 2]", "fault.1"),
        ('[[fault]]\nkind = "hang"\nat_s = true', "fault.1.at_s"),
        ('[[fault]]\nkind = "hang"\nat_s = "5"', "fault.1.at_s"),
        ('[[fault]]\nkind = "hang"\nshare = "1"', "fault.1.share"),
    ],
)
def test_mistakes_are_one_line_with_their_place(toml, place):
    with pytest.raises(FaultScriptError) as caught:
        FaultScript.parse(toml, origin="my.toml")

    text = str(caught.value)
    assert text.startswith(f"my.toml: {place}")
    assert "\n" not in text


@pytest.mark.parametrize(
    ("toml", "meant"),
    [
        ('[[faults]]\nkind = "hang"', "fault"),
        ('[[fault]]\nkind = "hang"\nat = 5', "at_s"),
        ('[[fault]]\nkind = "hang"\nfro_s = 5', "for_s"),
        ('[[fault]]\nkind = "rate-limit"\nretry_after = 5', "retry_after_s"),
    ],
)
def test_a_name_misspelt_is_told_the_one_meant(toml, meant):
    with pytest.raises(FaultScriptError, match=rf"\b{meant}\?$"):
        FaultScript.parse(toml)


@pytest.mark.parametrize("wrong", ['[fault]\nkind = "hang"', "fault = [1, 2]"])
def test_a_window_that_is_no_table_of_the_array_is_told_how_to_write_one(wrong):
    with pytest.raises(FaultScriptError, match=r"\[\[fault\]\]"):
        FaultScript.parse(wrong)


def windows(*at_for_share: tuple[float, float | None, float]) -> str:
    return "\n".join(
        f'[[fault]]\nkind = "hang"\nat_s = {at_s}\nshare = {share}\n' + (f"for_s = {for_s}" if for_s else "")
        for at_s, for_s, share in at_for_share
    )


@pytest.mark.parametrize(
    ("script", "both"),
    [
        (windows((0, None, 1), (5, 3, 0.5)), ("window 2", "window 1")),
        (windows((5, 3, 1), (5, 3, 1)), ("window 2", "window 1")),
        (windows((90, 1, 1), (2, 9, 1), (3, 1, 0.1), (4, 1, 1)), ("window 3", "window 2")),
    ],
)
def test_a_window_that_never_takes_a_call_is_a_mistake_that_names_both(script, both):
    with pytest.raises(FaultScriptError) as caught:
        FaultScript.parse(script)

    said = str(caught.value)
    assert "\n" not in said
    assert all(name in said for name in both)


@pytest.mark.parametrize(
    "script",
    [
        windows((0, None, 0.99), (5, 3, 1)),
        windows((5, 3, 1), (0, None, 1)),
        windows((5, 3, 1), (5, 3.1, 1)),
        windows((5, 3, 1), (4.9, 3, 1)),
        windows((5, 3, 1), (8, 3, 1)),
    ],
)
def test_windows_that_overlap_in_part_or_by_share_are_fine(script):
    assert len(FaultScript.parse(script).fault) == 2


def test_a_byte_order_mark_is_no_mistake(tmp_path):
    script = tmp_path / "windows.toml"
    script.write_bytes(b'\xef\xbb\xbf[[fault]]\nkind = "hang"')

    assert FaultScript.load(script) == FaultScript.parse('[[fault]]\nkind = "hang"')


def test_files_that_cannot_be_read(tmp_path):
    latin = tmp_path / "latin.toml"
    latin.write_bytes(b"# caf\xe9")

    for path in (tmp_path / "absent.toml", tmp_path, latin):
        with pytest.raises(FaultScriptError, match="cannot be read") as caught:
            FaultScript.load(path)
        assert str(path) in str(caught.value)
