# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_linkspan_global_optspecs
    string join \n net-dir= plugin-dirs= cache-dir= json v/verbose h/help V/version
end

function __fish_linkspan_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_linkspan_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_linkspan_using_subcommand
    set -l cmd (__fish_linkspan_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c linkspan -n "__fish_linkspan_needs_command" -l net-dir -d 'Directory of network configurations' -r -F
complete -c linkspan -n "__fish_linkspan_needs_command" -l plugin-dirs -d 'Directories of plugins; by default /opt/cni/bin, then the plugins in this binary' -r
complete -c linkspan -n "__fish_linkspan_needs_command" -l cache-dir -d 'Directory of remembered results' -r -F
complete -c linkspan -n "__fish_linkspan_needs_command" -l json -d 'As JSON: an array of objects, whose keys are those of schemas/output; failures are objects on stderr'
complete -c linkspan -n "__fish_linkspan_needs_command" -s v -l verbose -d 'Print a line to stderr for each call of a plugin, with its path, verb, time, code and steps; twice, its variables, too'
complete -c linkspan -n "__fish_linkspan_needs_command" -s h -l help -d 'Print help'
complete -c linkspan -n "__fish_linkspan_needs_command" -s V -l version -d 'Print version'
complete -c linkspan -n "__fish_linkspan_needs_command" -f -a "demo" -d 'Show that two pods talk, in namespaces of its own; touches nothing of this machine and needs no root'
complete -c linkspan -n "__fish_linkspan_needs_command" -f -a "run" -d 'Run a command in a fresh network namespace that is attached to a network'
complete -c linkspan -n "__fish_linkspan_needs_command" -f -a "add" -d 'Attach a namespace to a network and print the result'
complete -c linkspan -n "__fish_linkspan_needs_command" -f -a "check" -d 'Compare an attachment, or all that live, with what its ADD returned'
complete -c linkspan -n "__fish_linkspan_needs_command" -f -a "del" -d 'Detach a namespace from a network'
complete -c linkspan -n "__fish_linkspan_needs_command" -f -a "gc" -d 'Detach the remembered attachments of networks whose namespace is gone, and let the plugins clean up'
complete -c linkspan -n "__fish_linkspan_needs_command" -f -a "status" -d 'Ask a network\'s plugins whether they could attach a container now, show where each plugin is, and warn of obstacles to the network\'s packets'
complete -c linkspan -n "__fish_linkspan_needs_command" -f -a "doctor" -d 'Look for faults of the configurations, the host and the pods, and name the command that mends each; changes nothing, and prints nothing if all is well'
complete -c linkspan -n "__fish_linkspan_needs_command" -f -a "list" -d 'Print the attachments'
complete -c linkspan -n "__fish_linkspan_needs_command" -f -a "inspect" -d 'Print all that is known of an attachment: result, pod, leases, ports, the host\'s end, and what it has in the packet filter'
complete -c linkspan -n "__fish_linkspan_needs_command" -f -a "ports" -d 'Print the ports that are published on this host, their owners, and processes that listen on them'
complete -c linkspan -n "__fish_linkspan_needs_command" -f -a "metrics" -d 'Print the node in numbers, for Prometheus: attachments, addresses, ports, what is left of pods that are gone, what `doctor` finds, and calls of plugins where they are counted'
complete -c linkspan -n "__fish_linkspan_needs_command" -f -a "restore" -d 'Put back the published ports and the masquerade of living attachments, as after `nft flush ruleset` or a restart of nftables.service; nothing else changes'
complete -c linkspan -n "__fish_linkspan_needs_command" -f -a "clear" -d 'Remove all state of the plugins in nf_tables, published ports and masquerade alike, such as before a node returns to another suite; refused while living attachments need it'
complete -c linkspan -n "__fish_linkspan_needs_command" -f -a "validate" -d 'List the faults of network configurations before any container needs them'
complete -c linkspan -n "__fish_linkspan_needs_command" -f -a "oci-hook" -d 'Attach or detach a container as an OCI runtime\'s hook, createRuntime and poststop; its state is read from stdin'
complete -c linkspan -n "__fish_linkspan_needs_command" -f -a "netns" -d 'Name network namespaces, as `ip netns` does'
complete -c linkspan -n "__fish_linkspan_needs_command" -f -a "install" -d 'Put the plugins into a directory, as hard links to one copy of this binary'
complete -c linkspan -n "__fish_linkspan_needs_command" -f -a "back" -d 'Show the changes and detachments that are needed before the plugins of another suite take over this node'
complete -c linkspan -n "__fish_linkspan_needs_command" -f -a "uninstall" -d 'Remove the plugins that `install` put into a directory; refused while living attachments need them'
complete -c linkspan -n "__fish_linkspan_needs_command" -f -a "dhcp-daemon" -d 'Run the daemon of the plugin dhcp, which keeps leases, with the flags of `dhcp daemon`'
complete -c linkspan -n "__fish_linkspan_needs_command" -f -a "pause" -d 'Do nothing until asked to end, as the container of a pod that has installed the plugins; or put back what somebody removes'
complete -c linkspan -n "__fish_linkspan_needs_command" -f -a "completion" -d 'Print the script by which a shell completes this command line, and the names of networks, namespaces, containers and pods with it'
complete -c linkspan -n "__fish_linkspan_needs_command" -f -a "version" -d 'Print versions and the names of the plugins'
complete -c linkspan -n "__fish_linkspan_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c linkspan -n "__fish_linkspan_using_subcommand demo" -l graph -d 'Print a picture of the two pods and their network instead of the proofs; by default as text' -r -f -a "text\t'A tree, for a terminal'
svg\t'An image of its own, without fonts or files beside it'
dot\t'A graph for Graphviz'"
complete -c linkspan -n "__fish_linkspan_using_subcommand demo" -l net-dir -d 'Directory of network configurations' -r -F
complete -c linkspan -n "__fish_linkspan_using_subcommand demo" -l plugin-dirs -d 'Directories of plugins; by default /opt/cni/bin, then the plugins in this binary' -r
complete -c linkspan -n "__fish_linkspan_using_subcommand demo" -l cache-dir -d 'Directory of remembered results' -r -F
complete -c linkspan -n "__fish_linkspan_using_subcommand demo" -l json -d 'As JSON: an array of objects, whose keys are those of schemas/output; failures are objects on stderr'
complete -c linkspan -n "__fish_linkspan_using_subcommand demo" -s v -l verbose -d 'Print a line to stderr for each call of a plugin, with its path, verb, time, code and steps; twice, its variables, too'
complete -c linkspan -n "__fish_linkspan_using_subcommand demo" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c linkspan -n "__fish_linkspan_using_subcommand run" -l conf -d 'A file with a network configuration' -r -F
complete -c linkspan -n "__fish_linkspan_using_subcommand run" -l net -d 'The name of a network; without this and --conf, the network `linkspan` where it is installed, otherwise a dual-stack bridge for runs alone' -r
complete -c linkspan -n "__fish_linkspan_using_subcommand run" -s p -l publish -d 'A port of the command to publish on the host, as [HOSTIP:]HOSTPORT:PORT[/PROTOCOL]; may be repeated' -r
complete -c linkspan -n "__fish_linkspan_using_subcommand run" -l ip -d 'An address to ask for; may be repeated' -r
complete -c linkspan -n "__fish_linkspan_using_subcommand run" -l mac -d 'The MAC address to ask for' -r
complete -c linkspan -n "__fish_linkspan_using_subcommand run" -l ifname -d 'Name of the interface in the namespace' -r
complete -c linkspan -n "__fish_linkspan_using_subcommand run" -l net-dir -d 'Directory of network configurations' -r -F
complete -c linkspan -n "__fish_linkspan_using_subcommand run" -l plugin-dirs -d 'Directories of plugins; by default /opt/cni/bin, then the plugins in this binary' -r
complete -c linkspan -n "__fish_linkspan_using_subcommand run" -l cache-dir -d 'Directory of remembered results' -r -F
complete -c linkspan -n "__fish_linkspan_using_subcommand run" -l json -d 'As JSON: an array of objects, whose keys are those of schemas/output; failures are objects on stderr'
complete -c linkspan -n "__fish_linkspan_using_subcommand run" -s v -l verbose -d 'Print a line to stderr for each call of a plugin, with its path, verb, time, code and steps; twice, its variables, too'
complete -c linkspan -n "__fish_linkspan_using_subcommand run" -s h -l help -d 'Print help'
complete -c linkspan -n "__fish_linkspan_using_subcommand add" -l ifname -d 'Name of the interface in the namespace, by default eth0' -r
complete -c linkspan -n "__fish_linkspan_using_subcommand add" -l container-id -d 'The container\'s id; by default the one that `cnitool` derives from the namespace\'s path' -r
complete -c linkspan -n "__fish_linkspan_using_subcommand add" -l args -d 'Arguments for plugins, as K=V;K=V' -r
complete -c linkspan -n "__fish_linkspan_using_subcommand add" -l capability-args -d 'Values for capabilities, as a JSON object' -r
complete -c linkspan -n "__fish_linkspan_using_subcommand add" -l net-dir -d 'Directory of network configurations' -r -F
complete -c linkspan -n "__fish_linkspan_using_subcommand add" -l plugin-dirs -d 'Directories of plugins; by default /opt/cni/bin, then the plugins in this binary' -r
complete -c linkspan -n "__fish_linkspan_using_subcommand add" -l cache-dir -d 'Directory of remembered results' -r -F
complete -c linkspan -n "__fish_linkspan_using_subcommand add" -l json -d 'As JSON: an array of objects, whose keys are those of schemas/output; failures are objects on stderr'
complete -c linkspan -n "__fish_linkspan_using_subcommand add" -s v -l verbose -d 'Print a line to stderr for each call of a plugin, with its path, verb, time, code and steps; twice, its variables, too'
complete -c linkspan -n "__fish_linkspan_using_subcommand add" -s h -l help -d 'Print help'
complete -c linkspan -n "__fish_linkspan_using_subcommand check" -l net -d 'The network of ATTACHMENT, if that is in several' -r
complete -c linkspan -n "__fish_linkspan_using_subcommand check" -l ifname -d 'Name of the interface in the namespace, by default eth0' -r
complete -c linkspan -n "__fish_linkspan_using_subcommand check" -l container-id -d 'The container\'s id; by default the one that `cnitool` derives from the namespace\'s path' -r
complete -c linkspan -n "__fish_linkspan_using_subcommand check" -l args -d 'Arguments for plugins, as K=V;K=V' -r
complete -c linkspan -n "__fish_linkspan_using_subcommand check" -l capability-args -d 'Values for capabilities, as a JSON object' -r
complete -c linkspan -n "__fish_linkspan_using_subcommand check" -l net-dir -d 'Directory of network configurations' -r -F
complete -c linkspan -n "__fish_linkspan_using_subcommand check" -l plugin-dirs -d 'Directories of plugins; by default /opt/cni/bin, then the plugins in this binary' -r
complete -c linkspan -n "__fish_linkspan_using_subcommand check" -l cache-dir -d 'Directory of remembered results' -r -F
complete -c linkspan -n "__fish_linkspan_using_subcommand check" -l all -d 'Every attachment that lives'
complete -c linkspan -n "__fish_linkspan_using_subcommand check" -l json -d 'As JSON: an array of objects, whose keys are those of schemas/output; failures are objects on stderr'
complete -c linkspan -n "__fish_linkspan_using_subcommand check" -s v -l verbose -d 'Print a line to stderr for each call of a plugin, with its path, verb, time, code and steps; twice, its variables, too'
complete -c linkspan -n "__fish_linkspan_using_subcommand check" -s h -l help -d 'Print help'
complete -c linkspan -n "__fish_linkspan_using_subcommand del" -l net -d 'The network of ATTACHMENT, if that is in several' -r
complete -c linkspan -n "__fish_linkspan_using_subcommand del" -l ifname -d 'Name of the interface in the namespace, by default eth0' -r
complete -c linkspan -n "__fish_linkspan_using_subcommand del" -l container-id -d 'The container\'s id; by default the one that `cnitool` derives from the namespace\'s path' -r
complete -c linkspan -n "__fish_linkspan_using_subcommand del" -l args -d 'Arguments for plugins, as K=V;K=V' -r
complete -c linkspan -n "__fish_linkspan_using_subcommand del" -l capability-args -d 'Values for capabilities, as a JSON object' -r
complete -c linkspan -n "__fish_linkspan_using_subcommand del" -l net-dir -d 'Directory of network configurations' -r -F
complete -c linkspan -n "__fish_linkspan_using_subcommand del" -l plugin-dirs -d 'Directories of plugins; by default /opt/cni/bin, then the plugins in this binary' -r
complete -c linkspan -n "__fish_linkspan_using_subcommand del" -l cache-dir -d 'Directory of remembered results' -r -F
complete -c linkspan -n "__fish_linkspan_using_subcommand del" -l force -d 'Detach the interface even where another attachment has it'
complete -c linkspan -n "__fish_linkspan_using_subcommand del" -l json -d 'As JSON: an array of objects, whose keys are those of schemas/output; failures are objects on stderr'
complete -c linkspan -n "__fish_linkspan_using_subcommand del" -s v -l verbose -d 'Print a line to stderr for each call of a plugin, with its path, verb, time, code and steps; twice, its variables, too'
complete -c linkspan -n "__fish_linkspan_using_subcommand del" -s h -l help -d 'Print help'
complete -c linkspan -n "__fish_linkspan_using_subcommand gc" -l keep -d 'An attachment that stays although this cache does not know it, or its namespace seems gone' -r
complete -c linkspan -n "__fish_linkspan_using_subcommand gc" -l gone -d 'An attachment whose container is gone according to its engine: it is detached, and nothing else is collected, which is safe while containers start; may be repeated' -r
complete -c linkspan -n "__fish_linkspan_using_subcommand gc" -l net-dir -d 'Directory of network configurations' -r -F
complete -c linkspan -n "__fish_linkspan_using_subcommand gc" -l plugin-dirs -d 'Directories of plugins; by default /opt/cni/bin, then the plugins in this binary' -r
complete -c linkspan -n "__fish_linkspan_using_subcommand gc" -l cache-dir -d 'Directory of remembered results' -r -F
complete -c linkspan -n "__fish_linkspan_using_subcommand gc" -l all -d 'Every network of --net-dir, and every network with remembered attachments'
complete -c linkspan -n "__fish_linkspan_using_subcommand gc" -l dry-run -d 'Print what would be detached, and detach nothing'
complete -c linkspan -n "__fish_linkspan_using_subcommand gc" -l json -d 'As JSON: an array of objects, whose keys are those of schemas/output; failures are objects on stderr'
complete -c linkspan -n "__fish_linkspan_using_subcommand gc" -s v -l verbose -d 'Print a line to stderr for each call of a plugin, with its path, verb, time, code and steps; twice, its variables, too'
complete -c linkspan -n "__fish_linkspan_using_subcommand gc" -s h -l help -d 'Print help'
complete -c linkspan -n "__fish_linkspan_using_subcommand status" -l net-dir -d 'Directory of network configurations' -r -F
complete -c linkspan -n "__fish_linkspan_using_subcommand status" -l plugin-dirs -d 'Directories of plugins; by default /opt/cni/bin, then the plugins in this binary' -r
complete -c linkspan -n "__fish_linkspan_using_subcommand status" -l cache-dir -d 'Directory of remembered results' -r -F
complete -c linkspan -n "__fish_linkspan_using_subcommand status" -l json -d 'As JSON: an array of objects, whose keys are those of schemas/output; failures are objects on stderr'
complete -c linkspan -n "__fish_linkspan_using_subcommand status" -s v -l verbose -d 'Print a line to stderr for each call of a plugin, with its path, verb, time, code and steps; twice, its variables, too'
complete -c linkspan -n "__fish_linkspan_using_subcommand status" -s h -l help -d 'Print help'
complete -c linkspan -n "__fish_linkspan_using_subcommand doctor" -l net-dir -d 'Directory of network configurations' -r -F
complete -c linkspan -n "__fish_linkspan_using_subcommand doctor" -l plugin-dirs -d 'Directories of plugins; by default /opt/cni/bin, then the plugins in this binary' -r
complete -c linkspan -n "__fish_linkspan_using_subcommand doctor" -l cache-dir -d 'Directory of remembered results' -r -F
complete -c linkspan -n "__fish_linkspan_using_subcommand doctor" -l probe -d 'Ask on each bridge for the holders of the pods\' addresses, with a packet for each'
complete -c linkspan -n "__fish_linkspan_using_subcommand doctor" -l json -d 'As JSON: an array of objects, whose keys are those of schemas/output; failures are objects on stderr'
complete -c linkspan -n "__fish_linkspan_using_subcommand doctor" -s v -l verbose -d 'Print a line to stderr for each call of a plugin, with its path, verb, time, code and steps; twice, its variables, too'
complete -c linkspan -n "__fish_linkspan_using_subcommand doctor" -s h -l help -d 'Print help'
complete -c linkspan -n "__fish_linkspan_using_subcommand list" -l network -d 'Of this network alone' -r
complete -c linkspan -n "__fish_linkspan_using_subcommand list" -l graph -d 'As a picture: the host\'s links, the pods on them, addresses, routes and published ports; by default as text' -r -f -a "text\t'A tree, for a terminal'
svg\t'An image of its own, without fonts or files beside it'
dot\t'A graph for Graphviz'"
complete -c linkspan -n "__fish_linkspan_using_subcommand list" -l net-dir -d 'Directory of network configurations' -r -F
complete -c linkspan -n "__fish_linkspan_using_subcommand list" -l plugin-dirs -d 'Directories of plugins; by default /opt/cni/bin, then the plugins in this binary' -r
complete -c linkspan -n "__fish_linkspan_using_subcommand list" -l cache-dir -d 'Directory of remembered results' -r -F
complete -c linkspan -n "__fish_linkspan_using_subcommand list" -l gone -d 'Those alone whose namespace is gone'
complete -c linkspan -n "__fish_linkspan_using_subcommand list" -l no-trunc -d 'Ids in their whole length'
complete -c linkspan -n "__fish_linkspan_using_subcommand list" -l json -d 'As JSON: an array of objects, whose keys are those of schemas/output; failures are objects on stderr'
complete -c linkspan -n "__fish_linkspan_using_subcommand list" -s v -l verbose -d 'Print a line to stderr for each call of a plugin, with its path, verb, time, code and steps; twice, its variables, too'
complete -c linkspan -n "__fish_linkspan_using_subcommand list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c linkspan -n "__fish_linkspan_using_subcommand inspect" -l net -d 'The network of ATTACHMENT, if that is in several' -r
complete -c linkspan -n "__fish_linkspan_using_subcommand inspect" -l ifname -d 'Name of the interface in the namespace, by default eth0' -r
complete -c linkspan -n "__fish_linkspan_using_subcommand inspect" -l container-id -d 'The container\'s id; by default the one that `cnitool` derives from the namespace\'s path' -r
complete -c linkspan -n "__fish_linkspan_using_subcommand inspect" -l args -d 'Arguments for plugins, as K=V;K=V' -r
complete -c linkspan -n "__fish_linkspan_using_subcommand inspect" -l capability-args -d 'Values for capabilities, as a JSON object' -r
complete -c linkspan -n "__fish_linkspan_using_subcommand inspect" -l net-dir -d 'Directory of network configurations' -r -F
complete -c linkspan -n "__fish_linkspan_using_subcommand inspect" -l plugin-dirs -d 'Directories of plugins; by default /opt/cni/bin, then the plugins in this binary' -r
complete -c linkspan -n "__fish_linkspan_using_subcommand inspect" -l cache-dir -d 'Directory of remembered results' -r -F
complete -c linkspan -n "__fish_linkspan_using_subcommand inspect" -l json -d 'As JSON: an array of objects, whose keys are those of schemas/output; failures are objects on stderr'
complete -c linkspan -n "__fish_linkspan_using_subcommand inspect" -s v -l verbose -d 'Print a line to stderr for each call of a plugin, with its path, verb, time, code and steps; twice, its variables, too'
complete -c linkspan -n "__fish_linkspan_using_subcommand inspect" -s h -l help -d 'Print help'
complete -c linkspan -n "__fish_linkspan_using_subcommand ports" -l network -d 'Only the ports of this network' -r
complete -c linkspan -n "__fish_linkspan_using_subcommand ports" -l net-dir -d 'Directory of network configurations' -r -F
complete -c linkspan -n "__fish_linkspan_using_subcommand ports" -l plugin-dirs -d 'Directories of plugins; by default /opt/cni/bin, then the plugins in this binary' -r
complete -c linkspan -n "__fish_linkspan_using_subcommand ports" -l cache-dir -d 'Directory of remembered results' -r -F
complete -c linkspan -n "__fish_linkspan_using_subcommand ports" -l no-trunc -d 'Ids in full length'
complete -c linkspan -n "__fish_linkspan_using_subcommand ports" -l json -d 'As JSON: an array of objects, whose keys are those of schemas/output; failures are objects on stderr'
complete -c linkspan -n "__fish_linkspan_using_subcommand ports" -s v -l verbose -d 'Print a line to stderr for each call of a plugin, with its path, verb, time, code and steps; twice, its variables, too'
complete -c linkspan -n "__fish_linkspan_using_subcommand ports" -s h -l help -d 'Print help'
complete -c linkspan -n "__fish_linkspan_using_subcommand metrics" -l textfile -d 'Write the text into a file, by rename, as the textfile collector of Prometheus\' node exporter reads it: its name ends with .prom' -r -F
complete -c linkspan -n "__fish_linkspan_using_subcommand metrics" -l counters -d 'The directory in which plugins count their calls: the one that the engine\'s environment names for telemetry' -r -F
complete -c linkspan -n "__fish_linkspan_using_subcommand metrics" -l net-dir -d 'Directory of network configurations' -r -F
complete -c linkspan -n "__fish_linkspan_using_subcommand metrics" -l plugin-dirs -d 'Directories of plugins; by default /opt/cni/bin, then the plugins in this binary' -r
complete -c linkspan -n "__fish_linkspan_using_subcommand metrics" -l cache-dir -d 'Directory of remembered results' -r -F
complete -c linkspan -n "__fish_linkspan_using_subcommand metrics" -l json -d 'As JSON: an array of objects, whose keys are those of schemas/output; failures are objects on stderr'
complete -c linkspan -n "__fish_linkspan_using_subcommand metrics" -s v -l verbose -d 'Print a line to stderr for each call of a plugin, with its path, verb, time, code and steps; twice, its variables, too'
complete -c linkspan -n "__fish_linkspan_using_subcommand metrics" -s h -l help -d 'Print help'
complete -c linkspan -n "__fish_linkspan_using_subcommand restore" -l only -d 'An attachment to restore, and no others; may be repeated' -r
complete -c linkspan -n "__fish_linkspan_using_subcommand restore" -l net-dir -d 'Directory of network configurations' -r -F
complete -c linkspan -n "__fish_linkspan_using_subcommand restore" -l plugin-dirs -d 'Directories of plugins; by default /opt/cni/bin, then the plugins in this binary' -r
complete -c linkspan -n "__fish_linkspan_using_subcommand restore" -l cache-dir -d 'Directory of remembered results' -r -F
complete -c linkspan -n "__fish_linkspan_using_subcommand restore" -l json -d 'As JSON: an array of objects, whose keys are those of schemas/output; failures are objects on stderr'
complete -c linkspan -n "__fish_linkspan_using_subcommand restore" -s v -l verbose -d 'Print a line to stderr for each call of a plugin, with its path, verb, time, code and steps; twice, its variables, too'
complete -c linkspan -n "__fish_linkspan_using_subcommand restore" -s h -l help -d 'Print help'
complete -c linkspan -n "__fish_linkspan_using_subcommand clear" -l net-dir -d 'Directory of network configurations' -r -F
complete -c linkspan -n "__fish_linkspan_using_subcommand clear" -l plugin-dirs -d 'Directories of plugins; by default /opt/cni/bin, then the plugins in this binary' -r
complete -c linkspan -n "__fish_linkspan_using_subcommand clear" -l cache-dir -d 'Directory of remembered results' -r -F
complete -c linkspan -n "__fish_linkspan_using_subcommand clear" -l force -d 'Remove even things that living attachments need'
complete -c linkspan -n "__fish_linkspan_using_subcommand clear" -l dry-run -d 'Print the things to remove, and remove nothing'
complete -c linkspan -n "__fish_linkspan_using_subcommand clear" -l json -d 'As JSON: an array of objects, whose keys are those of schemas/output; failures are objects on stderr'
complete -c linkspan -n "__fish_linkspan_using_subcommand clear" -s v -l verbose -d 'Print a line to stderr for each call of a plugin, with its path, verb, time, code and steps; twice, its variables, too'
complete -c linkspan -n "__fish_linkspan_using_subcommand clear" -s h -l help -d 'Print help'
complete -c linkspan -n "__fish_linkspan_using_subcommand validate" -l capability-args -d 'Values for capabilities that a runtime will provide, as a JSON object' -r
complete -c linkspan -n "__fish_linkspan_using_subcommand validate" -l net-dir -d 'Directory of network configurations' -r -F
complete -c linkspan -n "__fish_linkspan_using_subcommand validate" -l plugin-dirs -d 'Directories of plugins; by default /opt/cni/bin, then the plugins in this binary' -r
complete -c linkspan -n "__fish_linkspan_using_subcommand validate" -l cache-dir -d 'Directory of remembered results' -r -F
complete -c linkspan -n "__fish_linkspan_using_subcommand validate" -l strict -d 'Fail on warnings, too; -v prints notes'
complete -c linkspan -n "__fish_linkspan_using_subcommand validate" -l json -d 'As JSON: an array of objects, whose keys are those of schemas/output; failures are objects on stderr'
complete -c linkspan -n "__fish_linkspan_using_subcommand validate" -s v -l verbose -d 'Print a line to stderr for each call of a plugin, with its path, verb, time, code and steps; twice, its variables, too'
complete -c linkspan -n "__fish_linkspan_using_subcommand validate" -s h -l help -d 'Print help'
complete -c linkspan -n "__fish_linkspan_using_subcommand oci-hook" -l net -d 'The network\'s name, or the path of a file with its configuration; by default the annotation org.linkspan.network, which can only be the name of a network in --net-dir' -r
complete -c linkspan -n "__fish_linkspan_using_subcommand oci-hook" -l allow -d 'A network that the annotation may name; by default it may name every network in --net-dir' -r
complete -c linkspan -n "__fish_linkspan_using_subcommand oci-hook" -l publish -d 'A port to publish, as [HOSTIP:]HOSTPORT:PORT[/PROTOCOL]; by default those of the annotation org.linkspan.ports, with commas between them' -r
complete -c linkspan -n "__fish_linkspan_using_subcommand oci-hook" -l ifname -d 'Name of the interface in the container' -r
complete -c linkspan -n "__fish_linkspan_using_subcommand oci-hook" -l net-dir -d 'Directory of network configurations' -r -F
complete -c linkspan -n "__fish_linkspan_using_subcommand oci-hook" -l plugin-dirs -d 'Directories of plugins; by default /opt/cni/bin, then the plugins in this binary' -r
complete -c linkspan -n "__fish_linkspan_using_subcommand oci-hook" -l cache-dir -d 'Directory of remembered results' -r -F
complete -c linkspan -n "__fish_linkspan_using_subcommand oci-hook" -l json -d 'As JSON: an array of objects, whose keys are those of schemas/output; failures are objects on stderr'
complete -c linkspan -n "__fish_linkspan_using_subcommand oci-hook" -s v -l verbose -d 'Print a line to stderr for each call of a plugin, with its path, verb, time, code and steps; twice, its variables, too'
complete -c linkspan -n "__fish_linkspan_using_subcommand oci-hook" -s h -l help -d 'Print help'
complete -c linkspan -n "__fish_linkspan_using_subcommand netns; and not __fish_seen_subcommand_from add del list help" -l net-dir -d 'Directory of network configurations' -r -F
complete -c linkspan -n "__fish_linkspan_using_subcommand netns; and not __fish_seen_subcommand_from add del list help" -l plugin-dirs -d 'Directories of plugins; by default /opt/cni/bin, then the plugins in this binary' -r
complete -c linkspan -n "__fish_linkspan_using_subcommand netns; and not __fish_seen_subcommand_from add del list help" -l cache-dir -d 'Directory of remembered results' -r -F
complete -c linkspan -n "__fish_linkspan_using_subcommand netns; and not __fish_seen_subcommand_from add del list help" -l json -d 'As JSON: an array of objects, whose keys are those of schemas/output; failures are objects on stderr'
complete -c linkspan -n "__fish_linkspan_using_subcommand netns; and not __fish_seen_subcommand_from add del list help" -s v -l verbose -d 'Print a line to stderr for each call of a plugin, with its path, verb, time, code and steps; twice, its variables, too'
complete -c linkspan -n "__fish_linkspan_using_subcommand netns; and not __fish_seen_subcommand_from add del list help" -s h -l help -d 'Print help'
complete -c linkspan -n "__fish_linkspan_using_subcommand netns; and not __fish_seen_subcommand_from add del list help" -f -a "add" -d 'Make an empty namespace'
complete -c linkspan -n "__fish_linkspan_using_subcommand netns; and not __fish_seen_subcommand_from add del list help" -f -a "del" -d 'Remove a name'
complete -c linkspan -n "__fish_linkspan_using_subcommand netns; and not __fish_seen_subcommand_from add del list help" -f -a "list" -d 'Print the names'
complete -c linkspan -n "__fish_linkspan_using_subcommand netns; and not __fish_seen_subcommand_from add del list help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c linkspan -n "__fish_linkspan_using_subcommand netns; and __fish_seen_subcommand_from add" -l net-dir -d 'Directory of network configurations' -r -F
complete -c linkspan -n "__fish_linkspan_using_subcommand netns; and __fish_seen_subcommand_from add" -l plugin-dirs -d 'Directories of plugins; by default /opt/cni/bin, then the plugins in this binary' -r
complete -c linkspan -n "__fish_linkspan_using_subcommand netns; and __fish_seen_subcommand_from add" -l cache-dir -d 'Directory of remembered results' -r -F
complete -c linkspan -n "__fish_linkspan_using_subcommand netns; and __fish_seen_subcommand_from add" -l json -d 'As JSON: an array of objects, whose keys are those of schemas/output; failures are objects on stderr'
complete -c linkspan -n "__fish_linkspan_using_subcommand netns; and __fish_seen_subcommand_from add" -s v -l verbose -d 'Print a line to stderr for each call of a plugin, with its path, verb, time, code and steps; twice, its variables, too'
complete -c linkspan -n "__fish_linkspan_using_subcommand netns; and __fish_seen_subcommand_from add" -s h -l help -d 'Print help'
complete -c linkspan -n "__fish_linkspan_using_subcommand netns; and __fish_seen_subcommand_from del" -l net-dir -d 'Directory of network configurations' -r -F
complete -c linkspan -n "__fish_linkspan_using_subcommand netns; and __fish_seen_subcommand_from del" -l plugin-dirs -d 'Directories of plugins; by default /opt/cni/bin, then the plugins in this binary' -r
complete -c linkspan -n "__fish_linkspan_using_subcommand netns; and __fish_seen_subcommand_from del" -l cache-dir -d 'Directory of remembered results' -r -F
complete -c linkspan -n "__fish_linkspan_using_subcommand netns; and __fish_seen_subcommand_from del" -l json -d 'As JSON: an array of objects, whose keys are those of schemas/output; failures are objects on stderr'
complete -c linkspan -n "__fish_linkspan_using_subcommand netns; and __fish_seen_subcommand_from del" -s v -l verbose -d 'Print a line to stderr for each call of a plugin, with its path, verb, time, code and steps; twice, its variables, too'
complete -c linkspan -n "__fish_linkspan_using_subcommand netns; and __fish_seen_subcommand_from del" -s h -l help -d 'Print help'
complete -c linkspan -n "__fish_linkspan_using_subcommand netns; and __fish_seen_subcommand_from list" -l net-dir -d 'Directory of network configurations' -r -F
complete -c linkspan -n "__fish_linkspan_using_subcommand netns; and __fish_seen_subcommand_from list" -l plugin-dirs -d 'Directories of plugins; by default /opt/cni/bin, then the plugins in this binary' -r
complete -c linkspan -n "__fish_linkspan_using_subcommand netns; and __fish_seen_subcommand_from list" -l cache-dir -d 'Directory of remembered results' -r -F
complete -c linkspan -n "__fish_linkspan_using_subcommand netns; and __fish_seen_subcommand_from list" -l json -d 'As JSON: an array of objects, whose keys are those of schemas/output; failures are objects on stderr'
complete -c linkspan -n "__fish_linkspan_using_subcommand netns; and __fish_seen_subcommand_from list" -s v -l verbose -d 'Print a line to stderr for each call of a plugin, with its path, verb, time, code and steps; twice, its variables, too'
complete -c linkspan -n "__fish_linkspan_using_subcommand netns; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c linkspan -n "__fish_linkspan_using_subcommand netns; and __fish_seen_subcommand_from help" -f -a "add" -d 'Make an empty namespace'
complete -c linkspan -n "__fish_linkspan_using_subcommand netns; and __fish_seen_subcommand_from help" -f -a "del" -d 'Remove a name'
complete -c linkspan -n "__fish_linkspan_using_subcommand netns; and __fish_seen_subcommand_from help" -f -a "list" -d 'Print the names'
complete -c linkspan -n "__fish_linkspan_using_subcommand netns; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c linkspan -n "__fish_linkspan_using_subcommand install" -l conflist -d 'A network\'s configuration, put into --net-dir under its own name after the plugins, readable for its owner alone; nothing is installed where something is wrong with it' -r -F
complete -c linkspan -n "__fish_linkspan_using_subcommand install" -l net-dir -d 'Directory of network configurations' -r -F
complete -c linkspan -n "__fish_linkspan_using_subcommand install" -l plugin-dirs -d 'Directories of plugins; by default /opt/cni/bin, then the plugins in this binary' -r
complete -c linkspan -n "__fish_linkspan_using_subcommand install" -l cache-dir -d 'Directory of remembered results' -r -F
complete -c linkspan -n "__fish_linkspan_using_subcommand install" -s p -l parents -d 'Make directories that are missing'
complete -c linkspan -n "__fish_linkspan_using_subcommand install" -l check -d 'Change nothing, and print what is missing or differs; the exit status is 1 where anything does'
complete -c linkspan -n "__fish_linkspan_using_subcommand install" -l json -d 'As JSON: an array of objects, whose keys are those of schemas/output; failures are objects on stderr'
complete -c linkspan -n "__fish_linkspan_using_subcommand install" -s v -l verbose -d 'Print a line to stderr for each call of a plugin, with its path, verb, time, code and steps; twice, its variables, too'
complete -c linkspan -n "__fish_linkspan_using_subcommand install" -s h -l help -d 'Print help'
complete -c linkspan -n "__fish_linkspan_using_subcommand back" -l net-dir -d 'Directory of network configurations' -r -F
complete -c linkspan -n "__fish_linkspan_using_subcommand back" -l plugin-dirs -d 'Directories of plugins; by default /opt/cni/bin, then the plugins in this binary' -r
complete -c linkspan -n "__fish_linkspan_using_subcommand back" -l cache-dir -d 'Directory of remembered results' -r -F
complete -c linkspan -n "__fish_linkspan_using_subcommand back" -l json -d 'As JSON: an array of objects, whose keys are those of schemas/output; failures are objects on stderr'
complete -c linkspan -n "__fish_linkspan_using_subcommand back" -s v -l verbose -d 'Print a line to stderr for each call of a plugin, with its path, verb, time, code and steps; twice, its variables, too'
complete -c linkspan -n "__fish_linkspan_using_subcommand back" -s h -l help -d 'Print help'
complete -c linkspan -n "__fish_linkspan_using_subcommand uninstall" -l conflist -d 'Remove this file of --net-dir, too, before the plugins' -r
complete -c linkspan -n "__fish_linkspan_using_subcommand uninstall" -l net-dir -d 'Directory of network configurations' -r -F
complete -c linkspan -n "__fish_linkspan_using_subcommand uninstall" -l plugin-dirs -d 'Directories of plugins; by default /opt/cni/bin, then the plugins in this binary' -r
complete -c linkspan -n "__fish_linkspan_using_subcommand uninstall" -l cache-dir -d 'Directory of remembered results' -r -F
complete -c linkspan -n "__fish_linkspan_using_subcommand uninstall" -l force -d 'Remove even things that living attachments need'
complete -c linkspan -n "__fish_linkspan_using_subcommand uninstall" -l dry-run -d 'Print the things to remove, and remove nothing'
complete -c linkspan -n "__fish_linkspan_using_subcommand uninstall" -l json -d 'As JSON: an array of objects, whose keys are those of schemas/output; failures are objects on stderr'
complete -c linkspan -n "__fish_linkspan_using_subcommand uninstall" -s v -l verbose -d 'Print a line to stderr for each call of a plugin, with its path, verb, time, code and steps; twice, its variables, too'
complete -c linkspan -n "__fish_linkspan_using_subcommand uninstall" -s h -l help -d 'Print help'
complete -c linkspan -n "__fish_linkspan_using_subcommand dhcp-daemon" -l net-dir -d 'Directory of network configurations' -r -F
complete -c linkspan -n "__fish_linkspan_using_subcommand dhcp-daemon" -l plugin-dirs -d 'Directories of plugins; by default /opt/cni/bin, then the plugins in this binary' -r
complete -c linkspan -n "__fish_linkspan_using_subcommand dhcp-daemon" -l cache-dir -d 'Directory of remembered results' -r -F
complete -c linkspan -n "__fish_linkspan_using_subcommand dhcp-daemon" -l json -d 'As JSON: an array of objects, whose keys are those of schemas/output; failures are objects on stderr'
complete -c linkspan -n "__fish_linkspan_using_subcommand dhcp-daemon" -s v -l verbose -d 'Print a line to stderr for each call of a plugin, with its path, verb, time, code and steps; twice, its variables, too'
complete -c linkspan -n "__fish_linkspan_using_subcommand pause" -l watch -d 'Put plugins into this directory anew when somebody removes or replaces them, as `install` does' -r -F
complete -c linkspan -n "__fish_linkspan_using_subcommand pause" -l conflist -d 'The same for a network\'s configuration in --net-dir' -r -F
complete -c linkspan -n "__fish_linkspan_using_subcommand pause" -l net-dir -d 'Directory of network configurations' -r -F
complete -c linkspan -n "__fish_linkspan_using_subcommand pause" -l plugin-dirs -d 'Directories of plugins; by default /opt/cni/bin, then the plugins in this binary' -r
complete -c linkspan -n "__fish_linkspan_using_subcommand pause" -l cache-dir -d 'Directory of remembered results' -r -F
complete -c linkspan -n "__fish_linkspan_using_subcommand pause" -l json -d 'As JSON: an array of objects, whose keys are those of schemas/output; failures are objects on stderr'
complete -c linkspan -n "__fish_linkspan_using_subcommand pause" -s v -l verbose -d 'Print a line to stderr for each call of a plugin, with its path, verb, time, code and steps; twice, its variables, too'
complete -c linkspan -n "__fish_linkspan_using_subcommand pause" -s h -l help -d 'Print help'
complete -c linkspan -n "__fish_linkspan_using_subcommand completion" -l net-dir -d 'Directory of network configurations' -r -F
complete -c linkspan -n "__fish_linkspan_using_subcommand completion" -l plugin-dirs -d 'Directories of plugins; by default /opt/cni/bin, then the plugins in this binary' -r
complete -c linkspan -n "__fish_linkspan_using_subcommand completion" -l cache-dir -d 'Directory of remembered results' -r -F
complete -c linkspan -n "__fish_linkspan_using_subcommand completion" -l json -d 'As JSON: an array of objects, whose keys are those of schemas/output; failures are objects on stderr'
complete -c linkspan -n "__fish_linkspan_using_subcommand completion" -s v -l verbose -d 'Print a line to stderr for each call of a plugin, with its path, verb, time, code and steps; twice, its variables, too'
complete -c linkspan -n "__fish_linkspan_using_subcommand completion" -s h -l help -d 'Print help'
complete -c linkspan -n "__fish_linkspan_using_subcommand version" -l net-dir -d 'Directory of network configurations' -r -F
complete -c linkspan -n "__fish_linkspan_using_subcommand version" -l plugin-dirs -d 'Directories of plugins; by default /opt/cni/bin, then the plugins in this binary' -r
complete -c linkspan -n "__fish_linkspan_using_subcommand version" -l cache-dir -d 'Directory of remembered results' -r -F
complete -c linkspan -n "__fish_linkspan_using_subcommand version" -l json -d 'As JSON: an array of objects, whose keys are those of schemas/output; failures are objects on stderr'
complete -c linkspan -n "__fish_linkspan_using_subcommand version" -s v -l verbose -d 'Print a line to stderr for each call of a plugin, with its path, verb, time, code and steps; twice, its variables, too'
complete -c linkspan -n "__fish_linkspan_using_subcommand version" -s h -l help -d 'Print help'
complete -c linkspan -n "__fish_linkspan_using_subcommand help; and not __fish_seen_subcommand_from demo run add check del gc status doctor list inspect ports metrics restore clear validate oci-hook netns install back uninstall dhcp-daemon pause completion version help" -f -a "demo" -d 'Show that two pods talk, in namespaces of its own; touches nothing of this machine and needs no root'
complete -c linkspan -n "__fish_linkspan_using_subcommand help; and not __fish_seen_subcommand_from demo run add check del gc status doctor list inspect ports metrics restore clear validate oci-hook netns install back uninstall dhcp-daemon pause completion version help" -f -a "run" -d 'Run a command in a fresh network namespace that is attached to a network'
complete -c linkspan -n "__fish_linkspan_using_subcommand help; and not __fish_seen_subcommand_from demo run add check del gc status doctor list inspect ports metrics restore clear validate oci-hook netns install back uninstall dhcp-daemon pause completion version help" -f -a "add" -d 'Attach a namespace to a network and print the result'
complete -c linkspan -n "__fish_linkspan_using_subcommand help; and not __fish_seen_subcommand_from demo run add check del gc status doctor list inspect ports metrics restore clear validate oci-hook netns install back uninstall dhcp-daemon pause completion version help" -f -a "check" -d 'Compare an attachment, or all that live, with what its ADD returned'
complete -c linkspan -n "__fish_linkspan_using_subcommand help; and not __fish_seen_subcommand_from demo run add check del gc status doctor list inspect ports metrics restore clear validate oci-hook netns install back uninstall dhcp-daemon pause completion version help" -f -a "del" -d 'Detach a namespace from a network'
complete -c linkspan -n "__fish_linkspan_using_subcommand help; and not __fish_seen_subcommand_from demo run add check del gc status doctor list inspect ports metrics restore clear validate oci-hook netns install back uninstall dhcp-daemon pause completion version help" -f -a "gc" -d 'Detach the remembered attachments of networks whose namespace is gone, and let the plugins clean up'
complete -c linkspan -n "__fish_linkspan_using_subcommand help; and not __fish_seen_subcommand_from demo run add check del gc status doctor list inspect ports metrics restore clear validate oci-hook netns install back uninstall dhcp-daemon pause completion version help" -f -a "status" -d 'Ask a network\'s plugins whether they could attach a container now, show where each plugin is, and warn of obstacles to the network\'s packets'
complete -c linkspan -n "__fish_linkspan_using_subcommand help; and not __fish_seen_subcommand_from demo run add check del gc status doctor list inspect ports metrics restore clear validate oci-hook netns install back uninstall dhcp-daemon pause completion version help" -f -a "doctor" -d 'Look for faults of the configurations, the host and the pods, and name the command that mends each; changes nothing, and prints nothing if all is well'
complete -c linkspan -n "__fish_linkspan_using_subcommand help; and not __fish_seen_subcommand_from demo run add check del gc status doctor list inspect ports metrics restore clear validate oci-hook netns install back uninstall dhcp-daemon pause completion version help" -f -a "list" -d 'Print the attachments'
complete -c linkspan -n "__fish_linkspan_using_subcommand help; and not __fish_seen_subcommand_from demo run add check del gc status doctor list inspect ports metrics restore clear validate oci-hook netns install back uninstall dhcp-daemon pause completion version help" -f -a "inspect" -d 'Print all that is known of an attachment: result, pod, leases, ports, the host\'s end, and what it has in the packet filter'
complete -c linkspan -n "__fish_linkspan_using_subcommand help; and not __fish_seen_subcommand_from demo run add check del gc status doctor list inspect ports metrics restore clear validate oci-hook netns install back uninstall dhcp-daemon pause completion version help" -f -a "ports" -d 'Print the ports that are published on this host, their owners, and processes that listen on them'
complete -c linkspan -n "__fish_linkspan_using_subcommand help; and not __fish_seen_subcommand_from demo run add check del gc status doctor list inspect ports metrics restore clear validate oci-hook netns install back uninstall dhcp-daemon pause completion version help" -f -a "metrics" -d 'Print the node in numbers, for Prometheus: attachments, addresses, ports, what is left of pods that are gone, what `doctor` finds, and calls of plugins where they are counted'
complete -c linkspan -n "__fish_linkspan_using_subcommand help; and not __fish_seen_subcommand_from demo run add check del gc status doctor list inspect ports metrics restore clear validate oci-hook netns install back uninstall dhcp-daemon pause completion version help" -f -a "restore" -d 'Put back the published ports and the masquerade of living attachments, as after `nft flush ruleset` or a restart of nftables.service; nothing else changes'
complete -c linkspan -n "__fish_linkspan_using_subcommand help; and not __fish_seen_subcommand_from demo run add check del gc status doctor list inspect ports metrics restore clear validate oci-hook netns install back uninstall dhcp-daemon pause completion version help" -f -a "clear" -d 'Remove all state of the plugins in nf_tables, published ports and masquerade alike, such as before a node returns to another suite; refused while living attachments need it'
complete -c linkspan -n "__fish_linkspan_using_subcommand help; and not __fish_seen_subcommand_from demo run add check del gc status doctor list inspect ports metrics restore clear validate oci-hook netns install back uninstall dhcp-daemon pause completion version help" -f -a "validate" -d 'List the faults of network configurations before any container needs them'
complete -c linkspan -n "__fish_linkspan_using_subcommand help; and not __fish_seen_subcommand_from demo run add check del gc status doctor list inspect ports metrics restore clear validate oci-hook netns install back uninstall dhcp-daemon pause completion version help" -f -a "oci-hook" -d 'Attach or detach a container as an OCI runtime\'s hook, createRuntime and poststop; its state is read from stdin'
complete -c linkspan -n "__fish_linkspan_using_subcommand help; and not __fish_seen_subcommand_from demo run add check del gc status doctor list inspect ports metrics restore clear validate oci-hook netns install back uninstall dhcp-daemon pause completion version help" -f -a "netns" -d 'Name network namespaces, as `ip netns` does'
complete -c linkspan -n "__fish_linkspan_using_subcommand help; and not __fish_seen_subcommand_from demo run add check del gc status doctor list inspect ports metrics restore clear validate oci-hook netns install back uninstall dhcp-daemon pause completion version help" -f -a "install" -d 'Put the plugins into a directory, as hard links to one copy of this binary'
complete -c linkspan -n "__fish_linkspan_using_subcommand help; and not __fish_seen_subcommand_from demo run add check del gc status doctor list inspect ports metrics restore clear validate oci-hook netns install back uninstall dhcp-daemon pause completion version help" -f -a "back" -d 'Show the changes and detachments that are needed before the plugins of another suite take over this node'
complete -c linkspan -n "__fish_linkspan_using_subcommand help; and not __fish_seen_subcommand_from demo run add check del gc status doctor list inspect ports metrics restore clear validate oci-hook netns install back uninstall dhcp-daemon pause completion version help" -f -a "uninstall" -d 'Remove the plugins that `install` put into a directory; refused while living attachments need them'
complete -c linkspan -n "__fish_linkspan_using_subcommand help; and not __fish_seen_subcommand_from demo run add check del gc status doctor list inspect ports metrics restore clear validate oci-hook netns install back uninstall dhcp-daemon pause completion version help" -f -a "dhcp-daemon" -d 'Run the daemon of the plugin dhcp, which keeps leases, with the flags of `dhcp daemon`'
complete -c linkspan -n "__fish_linkspan_using_subcommand help; and not __fish_seen_subcommand_from demo run add check del gc status doctor list inspect ports metrics restore clear validate oci-hook netns install back uninstall dhcp-daemon pause completion version help" -f -a "pause" -d 'Do nothing until asked to end, as the container of a pod that has installed the plugins; or put back what somebody removes'
complete -c linkspan -n "__fish_linkspan_using_subcommand help; and not __fish_seen_subcommand_from demo run add check del gc status doctor list inspect ports metrics restore clear validate oci-hook netns install back uninstall dhcp-daemon pause completion version help" -f -a "completion" -d 'Print the script by which a shell completes this command line, and the names of networks, namespaces, containers and pods with it'
complete -c linkspan -n "__fish_linkspan_using_subcommand help; and not __fish_seen_subcommand_from demo run add check del gc status doctor list inspect ports metrics restore clear validate oci-hook netns install back uninstall dhcp-daemon pause completion version help" -f -a "version" -d 'Print versions and the names of the plugins'
complete -c linkspan -n "__fish_linkspan_using_subcommand help; and not __fish_seen_subcommand_from demo run add check del gc status doctor list inspect ports metrics restore clear validate oci-hook netns install back uninstall dhcp-daemon pause completion version help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c linkspan -n "__fish_linkspan_using_subcommand help; and __fish_seen_subcommand_from netns" -f -a "add" -d 'Make an empty namespace'
complete -c linkspan -n "__fish_linkspan_using_subcommand help; and __fish_seen_subcommand_from netns" -f -a "del" -d 'Remove a name'
complete -c linkspan -n "__fish_linkspan_using_subcommand help; and __fish_seen_subcommand_from netns" -f -a "list" -d 'Print the names'

# Names of networks, namespaces and containers as they are now.
complete -c linkspan -n "__fish_seen_subcommand_from add check del doctor gc inspect list restore status" -f -a "(linkspan completion words 2>/dev/null)"
