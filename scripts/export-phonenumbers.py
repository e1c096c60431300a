"""Writes libphonenumber's metadata, and numbers judged by it, for shared/phonenumber.

Usage: export-phonenumbers.py VERSION FOLDER, with the package phonenumbers on the path.
The same version gives the same bytes.
"""

import json
import random
import re
import sys

import phonenumbers
from phonenumbers import PhoneMetadata, PhoneNumberType
from phonenumbers.data import _COUNTRY_CODE_TO_REGION_CODE
from phonenumbers.tzdata import TIMEZONE_DATA

# The kinds of numbers, in the order in which libphonenumber asks for them.
KINDS = [
    "premium_rate", "toll_free", "shared_cost", "voip", "personal_number",
    "pager", "uan", "voicemail", "fixed_line", "mobile",
]


def desc(d):
    if d is None or not d.national_number_pattern:
        return None
    row = {"pattern": d.national_number_pattern, "lengths": sorted(d.possible_length)}
    if d.example_number:
        row["example"] = d.example_number
    return row


def territory(code, region):
    if region == "001":
        m = PhoneMetadata.metadata_for_nongeo_region(code)
    else:
        m = PhoneMetadata.metadata_for_region(region)
    row = {
        "code": code,
        "region": region,
        "leading_digits": m.leading_digits,
        "international_prefix": m.international_prefix,
        "national_prefix": m.national_prefix_for_parsing,
        "transform": m.national_prefix_transform_rule,
        "general": desc(m.general_desc),
    }
    for kind in KINDS:
        row[kind] = desc(getattr(m, kind))
    return {name: value for name, value in row.items() if value}


def digits_of(pattern, rng):
    """A random text of those that a pattern of the metadata matches."""
    parse = re._parser.parse if hasattr(re, "_parser") else __import__("sre_parse").parse

    def write(tree):
        text = ""
        for op, value in tree:
            name = str(op)
            if name == "LITERAL":
                text += chr(value)
            elif name == "IN":
                text += rng.choice(members(value))
            elif name == "SUBPATTERN":
                text += write(value[-1])
            elif name == "BRANCH":
                text += write(rng.choice(value[1]))
            elif name == "MAX_REPEAT":
                low, high, body = value
                for _ in range(rng.randint(low, min(high, low + 4))):
                    text += write(body)
            else:
                raise ValueError(f"{name} in {pattern}")
        return text

    def members(items):
        found = []
        for op, value in items:
            if str(op) == "LITERAL":
                found.append(chr(value))
            elif str(op) == "RANGE":
                found += [chr(c) for c in range(value[0], value[1] + 1)]
            elif str(op) == "CATEGORY":
                found += list("0123456789")
        return found

    return write(parse(pattern))


def judge(e164):
    """Region and kind of a number; empty if it is not valid, or is read as another."""
    try:
        n = phonenumbers.parse(e164)
    except phonenumbers.NumberParseException:
        return "", ""
    if not phonenumbers.is_valid_number(n):
        return "", ""
    if phonenumbers.format_number(n, phonenumbers.PhoneNumberFormat.E164) != e164:
        return "", "another"
    kind = PhoneNumberType.to_string(phonenumbers.number_type(n)).lower()
    return phonenumbers.region_code_for_number(n), kind


def judged(territories):
    rng = random.Random(1)
    numbers = set()
    for t in territories:
        for kind in KINDS:
            if kind not in t:
                continue
            if "example" in t[kind]:
                numbers.add(f"+{t['code']}{t[kind]['example']}")
            for _ in range(3):
                n = digits_of(t[kind]["pattern"], rng)
                numbers.add(f"+{t['code']}{n}")
                at = rng.randrange(len(n))
                numbers.add(f"+{t['code']}{n[:at]}{rng.randrange(10)}{n[at + 1:]}")
            numbers.add(f"+{t['code']}{n[:-1]}")
            numbers.add(f"+{t['code']}{n}0")
            numbers.add(f"+{t['code']}0{n}")
    for code in range(1, 1000):  # what follows codes that are not given out
        numbers.add(f"+{code}{rng.randrange(10**6, 10**9)}")
    return sorted(n for n in numbers if 5 <= len(n) <= 16)


def main():
    version, folder = sys.argv[1:]
    if phonenumbers.__version__ != version:
        sys.exit(f"phonenumbers {phonenumbers.__version__} is on the path, not {version}")
    territories = [territory(code, region) for code, regions in _COUNTRY_CODE_TO_REGION_CODE.items() for region in regions]
    zones = {prefix: list(names) for prefix, names in sorted(TIMEZONE_DATA.items())}
    with open(f"{folder}/metadata.json", "w") as f:
        f.write(f'{{"version": "{version}",\n"territories": [\n')
        f.write(",\n".join(json.dumps(t) for t in territories))
        f.write('\n],\n"time_zones": {\n')
        f.write(",\n".join(f"{json.dumps(prefix)}: {json.dumps(names)}" for prefix, names in zones.items()))
        f.write("\n}}\n")
    with open(f"{folder}/judged.csv", "w") as f:
        for n in judged(territories):
            f.write(",".join((n, *judge(n))) + "\n")


if __name__ == "__main__":
    main()
