"""Devices that receive commands as UDP datagrams and answer them."""
