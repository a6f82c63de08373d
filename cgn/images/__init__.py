"""Pixels and pictures: conversion to uint8, sheets, labels of the papers' figures, jitter."""
