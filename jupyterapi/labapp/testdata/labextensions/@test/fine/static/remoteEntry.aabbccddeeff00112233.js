var remote;
