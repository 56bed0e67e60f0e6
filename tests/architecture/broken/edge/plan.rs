use sozu_command_lib::proto::command::Request;
