#!/usr/bin/env bash
# Derived from cluster/cluster.yaml by `robonav cluster render`; do not edit.
# Starts the cluster on this machine and makes the calling shell a driver's: `source cluster/local.sh`.
# `robonav cluster down` ends it.
robonav cluster up --definition "$(dirname "${BASH_SOURCE[0]}")/cluster.yaml" "$@" || return 2>/dev/null || exit
robonav_cluster=robonav
for robonav_word in "$@"; do case "$robonav_word" in name=*) robonav_cluster="${robonav_word#name=}" ;; esac; done
export RAY_AUTH_MODE=token
RAY_AUTH_TOKEN_PATH="$HOME/.robonav/clusters/$robonav_cluster/token"
RAY_ADDRESS="$(robonav cluster address "$robonav_cluster")"
export RAY_AUTH_TOKEN_PATH RAY_ADDRESS
unset robonav_cluster robonav_word
