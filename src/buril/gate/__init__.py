"""The gate: scanners on files of this machine, for people and CI; what `buril scan` does.

Training never comes through here: suppressions, baselines and diffs are promises about one program, and only this
package heeds them.
"""
