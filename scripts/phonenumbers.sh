#!/usr/bin/env bash
# Fetches libphonenumber's metadata from the Python package phonenumbers, and writes the sources of
# shared/phonenumber: metadata.json, and judged.csv, which has numbers with that package's verdicts.
# `make generate` then makes the table. The script needs Python 3.8 with pip. For a newer version,
# change the version and the checksum. pip verifies the checksum.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

version=9.0.43
checksum=349bc799f15e010e35bd2c7d28149950ae74479cb1e11fb054ed9a95ecb4b437

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
echo "phonenumbers==$version --hash=sha256:$checksum" >"$work/requirements"
pip install --quiet --disable-pip-version-check --no-deps --no-compile --only-binary :all: \
	--require-hashes --root-user-action ignore --target "$work/packages" -r "$work/requirements"
PYTHONPATH=$work/packages python3 scripts/export-phonenumbers.py $version shared/phonenumber/testdata
