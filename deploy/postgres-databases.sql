-- One database each, so that neither the registry's migrations nor its load touch the log of the answers.
CREATE DATABASE registry;
CREATE DATABASE traffic;
